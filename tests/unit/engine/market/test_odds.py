from __future__ import annotations

import numpy as np
import pytest

from engine.errors import ValidationError
from engine.market.devigging import devig
from engine.market.odds import (
    american_to_decimal,
    decimal_to_american,
    decimal_to_fractional,
    fractional_to_decimal,
    implied_probabilities,
    overround,
)


@pytest.mark.parametrize(
    ("american", "decimal"),
    [(100, 2.0), (-100, 2.0), (150, 2.5), (-150, 5 / 3), (316, 4.16), (-400, 1.25), (-5000, 1.02)],
)
def test_american_odds_become_decimal(american: int, decimal: float) -> None:
    assert american_to_decimal(american) == pytest.approx(decimal, rel=1e-15)


@pytest.mark.parametrize("american", [0, 99, -99, 1.5, np.nan, np.inf])
def test_american_odds_that_nobody_can_mean_are_refused(american: float) -> None:
    with pytest.raises(ValidationError, match="American odds"):
        american_to_decimal(american)


@pytest.mark.parametrize(("decimal", "american"), [(2.0, 100.0), (2.5, 150.0), (1.25, -400.0), (1.5, -200.0)])
def test_decimal_prices_become_american(decimal: float, american: float) -> None:
    assert decimal_to_american(decimal) == pytest.approx(american)


@pytest.mark.parametrize(
    ("fractional", "decimal"), [("5/2", 3.5), ("4", 5.0), ("evens", 2.0), (" 4 / 11 ", 1 + 4 / 11), ("EVS", 2.0)]
)
def test_british_fractions_become_decimal(fractional: str, decimal: float) -> None:
    assert fractional_to_decimal(fractional) == pytest.approx(decimal, rel=1e-15)


@pytest.mark.parametrize("fractional", ["", "5/0", "-1/2", "0", "five to two"])
def test_fractions_that_are_none_are_refused(fractional: str) -> None:
    with pytest.raises(ValidationError, match=r"fraction|above zero"):
        fractional_to_decimal(fractional)


def test_decimal_prices_become_fractions() -> None:
    assert decimal_to_fractional(3.5) == "5/2"
    assert decimal_to_fractional(2.0) == "1/1"
    with pytest.raises(ValidationError, match="too close to 1"):
        decimal_to_fractional(1.00001)


@pytest.mark.parametrize("price", [1.0, 0.5, -2.0, np.nan, np.inf])
def test_impossible_prices_are_refused_everywhere(price: float) -> None:
    for convert in (decimal_to_american, implied_probabilities, lambda bad: devig([bad, 2.0])):
        with pytest.raises(ValidationError, match="finite and above 1"):
            convert(price)


def test_overround_is_the_sum_of_implied_probabilities() -> None:
    assert overround([[1.25, 4.0], [2.0, 2.0]]) == pytest.approx([1.05, 1.0])
