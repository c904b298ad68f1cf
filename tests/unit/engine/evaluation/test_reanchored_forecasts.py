"""Forecasts of a model that is re-anchored after each event use closes of earlier events only."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pandas as pd

from engine.arrays import Floats
from engine.data.feature_matrix import TrainingMatrix
from engine.evaluation.reanchored_forecasts import ReanchoredForecast, reanchored_forecasts
from engine.intervals.half_widths import HalfWidths, fit_half_widths

FIGHTS, A_CARD = 240, 12


def _fights(distance: float) -> tuple[TrainingMatrix, Floats]:
    """Return fights of a market at this distance, and a model's probabilities."""
    rng = np.random.default_rng(1)
    own = rng.normal(0.0, 0.7, FIGHTS)
    price = 1.0 / (1.0 + np.exp(-(own + distance * rng.normal(size=FIGHTS))))
    card = np.arange(FIGHTS) // A_CARD
    return TrainingMatrix(
        X=pd.DataFrame({"diff_elo": own}),
        won=(rng.random(FIGHTS) < price).astype(np.int8),
        event=np.full(FIGHTS, "Fight Night"),
        date=np.datetime64("2020-01-04") + 7 * card.astype("timedelta64[D]"),
        red_odds=1.0 / price,
        blue_odds=1.0 / (1.0 - price),
        corner_known=np.arange(FIGHTS) % 3 > 0,
        experience=np.arange(FIGHTS) % 8,
    ), 1.0 / (1.0 + np.exp(-own))


def _half_widths() -> HalfWidths:
    rng = np.random.default_rng(2)
    own = rng.normal(0.0, 0.7, 3000)
    market = own + 0.5 * rng.normal(size=3000)
    won = (rng.random(3000) < 1.0 / (1.0 + np.exp(-market))).astype(np.int8)
    return fit_half_widths(own, own, market, won, np.ones(3000, dtype=np.bool_), np.arange(3000) % 8, None)


def _forecast(fights: TrainingMatrix, probability: Floats) -> tuple[ReanchoredForecast, ReanchoredForecast]:
    found = reanchored_forecasts(_half_widths(), fights, probability, probability, (0.8, 0.95))
    assert found is not None
    return found


def test_the_first_event_is_answered_as_trained_and_the_closes_lie_inside_more_evenly_later() -> None:
    fights, probability = _fights(1.0)
    (found, intervals), _ = _forecast(fights, probability)
    np.testing.assert_allclose(found[:A_CARD], probability[:A_CARD], rtol=1e-9)
    low, high = intervals[0.8]
    width = high - low
    assert width[-60:].mean() > 1.2 * width[:A_CARD].mean()  # the market is twice as far as at the training


def test_closes_from_a_day_on_change_no_forecast_up_to_that_day() -> None:
    fights, probability = _fights(1.0)
    turned = np.arange(FIGHTS) >= 120
    other = replace(
        fights,
        red_odds=np.where(turned, fights.blue_odds, fights.red_odds),
        blue_odds=np.where(turned, fights.red_odds, fights.blue_odds),
    )
    for one, changed in zip(_forecast(fights, probability), _forecast(other, probability), strict=True):
        for level in (0.8, 0.95):
            for end, moved in zip(one[1][level], changed[1][level], strict=True):
                assert np.array_equal(end[: 120 + A_CARD], moved[: 120 + A_CARD])
                assert not np.array_equal(end[120 + A_CARD :], moved[120 + A_CARD :])


def test_the_order_of_the_rows_does_not_matter() -> None:
    fights, probability = _fights(0.8)
    turned = np.arange(FIGHTS)[::-1]
    reverse = TrainingMatrix(
        **{field.name: getattr(fights, field.name)[turned] for field in fields(fights) if field.name != "X"},
        X=fights.X.iloc[turned].reset_index(drop=True),
    )
    one, other = (_forecast(fights, probability)[0], _forecast(reverse, probability[turned])[0])
    np.testing.assert_allclose(one[1][0.8][0], other[1][0.8][0][turned], rtol=1e-9)


def test_a_model_without_measured_closes_has_none() -> None:
    fights, probability = _fights(0.8)
    unmeasured = replace(HalfWidths.unmeasured(), spread=0.1)
    assert reanchored_forecasts(unmeasured, fights, probability, probability, (0.8,)) is None
