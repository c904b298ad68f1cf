from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.arrays import Floats
from engine.errors import ValidationError
from engine.intervals.half_widths import TRACKED_LEVELS, HalfWidths, fit_half_widths
from engine.intervals.reanchor import LEVEL_STEPS, NewerFights, Reanchored, reanchor
from engine.statistics.calibration import Calibration

CALIBRATION = Calibration(slope=1.1, corner_slope=1.0, corner_term=0.3)


def _fights(n: int, distance: float, seed: int, sharper: float = 1.0) -> tuple[Floats, Floats]:
    """Return calibrated logits and closing logits at this distance from `sharper` times them."""
    rng = np.random.default_rng(seed)
    own = rng.normal(0.0, 0.7, n)
    return own, sharper * own + distance * rng.normal(size=n)


def _trained() -> HalfWidths:
    own, market = _fights(3000, 0.6, 1)
    won = (np.random.default_rng(2).random(3000) < 1 / (1 + np.exp(-market))).astype(np.int8)
    experience = np.arange(3000) % 8
    return replace(
        fit_half_widths(own, own, market, won, np.ones(3000, dtype=np.bool_), experience, None), market_slope=1.0
    )


def _newer(n: int, distance: float, sharper: float = 1.0, known: bool = True) -> NewerFights:
    own, market = _fights(n, distance, 3, sharper)
    return NewerFights(
        unknown_logit=own,
        known_logit=own,
        market_logit=np.where(np.arange(n) % 10 == 0, np.nan, market),
        corner_known=np.full(n, known),
        experience=np.arange(n) % 8,
        event=np.char.add("event ", (np.arange(n) // 12).astype(np.str_)),
    )


def _moved(n: int, distance: float, sharper: float = 1.0) -> Reanchored:
    return reanchor(_trained(), CALIBRATION, _newer(n, distance, sharper))


def _half_width(widths: HalfWidths, level: float) -> float:
    return float(widths.at_level(level, np.array([True]), np.array([4]))[0])


@pytest.mark.parametrize("distance", [0.4, 0.6, 0.8])
def test_however_far_the_market_moves_the_closes_lie_inside_as_often_as_the_level_says(distance: float) -> None:
    found = _moved(960, distance)
    assert found.inside == pytest.approx(TRACKED_LEVELS, abs=0.02)


def test_the_guarantee_of_adaptive_conformal_inference_is_an_equation_while_no_level_is_clipped() -> None:
    found = _moved(960, 0.6)
    for level, step, inside, moved in zip(
        TRACKED_LEVELS, LEVEL_STEPS, found.inside, found.half_widths.moved_levels[1], strict=True
    ):
        assert level - inside == pytest.approx((moved - level) / (step * found.fights), abs=1e-12)


def test_a_close_is_counted_against_the_interval_of_before_its_event() -> None:
    newer = _newer(12, 0.6)
    far = replace(newer, market_logit=newer.market_logit + 30.0)
    assert reanchor(_trained(), CALIBRATION, far).inside == (0.0, 0.0)


def test_a_market_further_away_widens_and_a_nearer_one_narrows() -> None:
    trained = _trained()
    for level in (0.68, *TRACKED_LEVELS):
        far, near = (_half_width(_moved(480, distance).half_widths, level) for distance in (0.9, 0.4))
        assert near < _half_width(trained, level) < far


def test_a_sharper_market_raises_the_slope_and_a_like_one_hardly_moves_it() -> None:
    sharper, like = _moved(480, 0.6, sharper=1.4), _moved(480, 0.6)
    assert 1.05 < sharper.slope_factor < 1.4
    assert abs(like.slope_factor - 1.0) < 0.03
    factor = sharper.slope_factor
    assert sharper.calibration == Calibration(1.1 * factor, 1.0 * factor, 0.3 * factor)


def test_a_few_fights_move_little() -> None:
    few = _moved(12, 0.9, sharper=1.4)
    assert abs(few.slope_factor - 1.0) < 0.05
    assert abs(few.half_widths.moved_levels[1][0] - 0.8) < 0.2


def test_only_the_corner_state_that_was_seen_moves() -> None:
    moved = reanchor(_trained(), CALIBRATION, _newer(240, 0.9, known=False)).half_widths.moved_levels
    assert moved[1] == TRACKED_LEVELS
    assert moved[0] != TRACKED_LEVELS


def test_the_same_fights_give_the_same_bits() -> None:
    one, again = _moved(240, 0.8), _moved(240, 0.8)
    assert one.half_widths.moved_levels == again.half_widths.moved_levels
    assert one.calibration == again.calibration


def test_swapping_the_fighters_moves_the_same() -> None:
    newer = replace(_newer(240, 0.8), corner_known=np.zeros(240, dtype=np.bool_))
    swapped = replace(newer, unknown_logit=-newer.unknown_logit, market_logit=-newer.market_logit)
    one, other = (reanchor(_trained(), CALIBRATION, fights) for fights in (newer, swapped))
    assert one.half_widths.moved_levels == other.half_widths.moved_levels
    assert one.slope_factor == pytest.approx(other.slope_factor, rel=1e-14)


def test_levels_stay_within_bounds_and_in_order() -> None:
    for distance in (0.0, 30.0):
        for low, high in _moved(960, distance).half_widths.moved_levels:
            assert 0.3 <= low <= high <= 0.999


def test_what_cannot_be_used_is_refused() -> None:
    newer = _newer(240, 0.6)
    with pytest.raises(ValidationError, match="not measured on closing odds"):
        reanchor(replace(HalfWidths.unmeasured(), spread=0.1), CALIBRATION, newer)
    with pytest.raises(ValidationError, match="no newer fight has closing odds"):
        reanchor(_trained(), CALIBRATION, replace(newer, market_logit=np.full(240, np.nan)))
    with pytest.raises(ValidationError, match="not consecutive"):
        reanchor(_trained(), CALIBRATION, replace(newer, event=newer.event[np.arange(240) * 7 % 240]))
    with pytest.raises(ValidationError, match="differ in length"):
        replace(newer, experience=newer.experience[:-1])
    with pytest.raises(ValidationError, match="unknown_logit of a newer fight is not finite"):
        replace(newer, unknown_logit=np.full(240, np.nan))
