from __future__ import annotations

import numpy as np
import pytest

from engine.errors import ValidationError
from engine.market.devigging import DevigMethod, add_margin, devig

# Fair probability of the first fighter by proportional, power, Shin, odds-ratio and logarithmic, as penaltyblog 1.13.1
# computes it; for an overround below 1 its Shin fails, and the value there is half of the margin on each side.
ORACLE = [
    ((1.91, 1.91), 0.5, 0.5, 0.5, 0.5, 0.5),
    ((1.25, 4.10), 0.7663551402, 0.7844927163, 0.7780487805, 0.7788277744, 0.7788277744),
    ((2.65, 1.5349), 0.3667710101, 0.3610354607, 0.3629251245, 0.3628014987, 0.3628014987),
    ((1.08, 8.5), 0.8872651357, 0.9151194851, 0.9041394336, 0.9063885891, 0.9063885891),
    ((3.05, 1.40), 0.3146067416, 0.3027133085, 0.3067915691, 0.3063869781, 0.3063869781),
    ((1.6667, 2.3), 0.5798270603, 0.5839760265, 0.5826026958, 0.5827054955, 0.5827054955),
    ((2.02, 2.0), 0.4975124378, 0.4975301216, 0.4975247525, 0.4975246918, 0.4975246918),
]


@pytest.mark.parametrize(("prices", "proportional", "power", "shin", "odds_ratio", "logarithmic"), ORACLE)
def test_devig_agrees_with_penaltyblog(
    prices: tuple[float, float],
    proportional: float,
    power: float,
    shin: float,
    odds_ratio: float,
    logarithmic: float,
) -> None:
    for method, expected in zip(DevigMethod, (proportional, power, shin, odds_ratio, logarithmic), strict=True):
        assert devig(prices, method)[0] == pytest.approx(expected, abs=1e-9), method


def test_devig_uses_power_unless_told() -> None:
    assert np.array_equal(devig([1.25, 4.10]), devig([1.25, 4.10], DevigMethod.POWER))


@pytest.mark.parametrize("method", DevigMethod)
def test_devig_of_many_is_the_devig_of_each(method: DevigMethod) -> None:
    prices = np.array([prices for prices, *_ in ORACLE])
    assert np.array_equal(devig(prices, method), np.stack([devig(pair, method) for pair in prices]))
    assert devig(prices.reshape(1, 7, 2), method).shape == (1, 7, 2)
    assert devig(np.empty((0, 2)), method).shape == (0, 2)


@pytest.mark.parametrize("prices", [2.0, [2.0, 3.0, 4.0], [[2.0], [3.0]]])
def test_devig_is_for_two_fighters(prices: object) -> None:
    with pytest.raises(ValidationError, match="length 2"):
        devig(prices)  # type: ignore[arg-type] - the point of the test


@pytest.mark.parametrize(("probability", "total"), [(0.0, 1.05), (1.0, 1.05), (0.5, 0.0), (0.5, 2.0), (np.nan, 1.0)])
def test_margin_needs_a_probability_and_a_possible_overround(probability: float, total: float) -> None:
    with pytest.raises(ValidationError, match="probability"):
        add_margin(probability, total)
