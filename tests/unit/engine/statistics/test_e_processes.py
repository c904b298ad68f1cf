from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.monitoring.sequential_tests import (
    ALPHA,
    ScoredFights,
    calibration_e_process,
    calibration_gap_bound,
    coverage_e_process,
    market_e_process,
    run_tests,
)
from engine.statistics.e_processes import (
    FIRST_WEIGHT,
    MAX_LOSS_FRACTION,
    bet_factors,
    e_process,
    mean_lower_bound,
    mixture_weights,
)

PROBABILITIES = st.floats(0.02, 0.98)


def scored_fights(
    p: list[float], won: tuple[int, ...], event: list[int], market: list[float] | None = None
) -> ScoredFights:
    n = len(p)
    nothing = np.full(n, np.nan)
    return ScoredFights(
        probability=np.array(p),
        won=np.array(won, dtype=np.int8),
        corner=np.array([1, -1, 0, 1, -1, 0, 1, -1][:n], dtype=np.int8),
        event=np.array(event, dtype=np.int64),
        market=nothing if market is None else np.array(market),
        intervals={},
    )


def tree(p: list[float]) -> list[tuple[tuple[int, ...], float]]:
    """Every way in which the fights can end, with its probability if each ends by itself."""
    ends = product((0, 1), repeat=len(p))
    return [(end, float(np.prod([q if won else 1 - q for q, won in zip(p, end, strict=True)]))) for end in ends]


@pytest.mark.slow
@given(st.lists(PROBABILITIES, min_size=6, max_size=6), st.sampled_from([[0, 0, 1, 1, 2, 2], [0, 1, 1, 1, 2, 2]]))
def test_evidence_against_calibration_is_a_martingale_under_it(p: list[float], event: list[int]) -> None:
    """By enumeration: at each event the expectation over what follows is what one has, from 1 at the beginning."""
    outcomes = tree(p)
    paths = {end: np.concatenate([[1.0], calibration_e_process(scored_fights(p, end, event))]) for end, _ in outcomes}
    assert min(path.min() for path in paths.values()) >= 0.0
    sizes = np.bincount(event)
    for step in range(len(sizes)):
        known = int(sizes[:step].sum())
        for past in {end[:known] for end, _ in outcomes}:
            follow = [(end, chance) for end, chance in outcomes if end[:known] == past]
            total = sum(chance for _, chance in follow)
            after = sum(chance * paths[end][step + 1] for end, chance in follow) / total
            assert after == pytest.approx(paths[follow[0][0]][step], rel=1e-9)


@given(PROBABILITIES, PROBABILITIES, PROBABILITIES)
def test_results_of_one_night_may_hang_together_as_they_like(p: float, q: float, together: float) -> None:
    """Two fights of one event under any joint distribution with these margins: still no expected gain."""
    low, high = max(0.0, p + q - 1.0), min(p, q)
    both = low + together * (high - low)
    joint = {(1, 1): both, (1, 0): p - both, (0, 1): q - both, (0, 0): 1.0 - p - q + both}
    expected = sum(
        chance * calibration_e_process(scored_fights([p, q], end, [0, 0]))[-1] for end, chance in joint.items()
    )
    assert expected == pytest.approx(1.0)


@given(st.lists(PROBABILITIES, min_size=4, max_size=4), st.lists(PROBABILITIES, min_size=4, max_size=4))
def test_evidence_that_the_market_is_better_never_grows_where_it_is_not(p: list[float], m: list[float]) -> None:
    """The model is right, so its expected log loss is the lower one: a supermartingale."""
    processes = [(market_e_process(scored_fights(p, end, [0, 0, 1, 1], m), 0.0), chance) for end, chance in tree(p)]
    assert all(process is not None and process.min() >= 0.0 for process, _ in processes)
    assert sum(chance * process[-1] for process, chance in processes if process is not None) <= 1.0 + 1e-9


def test_the_money_that_begins_is_never_more_than_there_is() -> None:
    begun = mixture_weights(100_000)
    assert begun[0] == FIRST_WEIGHT
    assert (begun > 0).all()
    assert 0.999 < begun.sum() <= 1.0


@given(st.lists(st.floats(-3.0, 3.0), min_size=1, max_size=20), st.floats(0.01, 10.0))
def test_a_bet_never_loses_more_than_it_may(scores: list[float], size: float) -> None:
    score = np.array(scores)
    factors = bet_factors(score, np.minimum(score, -0.001), (size,))
    assert factors.min() >= 1.0 - MAX_LOSS_FRACTION - 1e-12


def test_without_a_score_nothing_is_bet() -> None:
    assert e_process(bet_factors(np.zeros(5), np.zeros(5), (0.5,))) == pytest.approx(1.0)


def nights(slope: float, events: int, rng: np.random.Generator, fights: int = 12) -> ScoredFights:
    logit = rng.normal(0.0, 0.75, events * fights)
    p = 1.0 / (1.0 + np.exp(-logit))
    won = rng.random(len(p)) < 1.0 / (1.0 + np.exp(-slope * logit))
    n = len(p)
    lower, upper = np.full(n, 0.4), np.full(n, 0.6)
    return ScoredFights(
        probability=p,
        won=won.astype(np.int8),
        corner=np.zeros(n, dtype=np.int8),
        event=np.repeat(np.arange(events), fights),
        market=p,
        intervals={0.8: (lower, upper)},
    )


def test_what_is_calibrated_is_left_in_peace_and_what_is_not_is_found() -> None:
    rng = np.random.default_rng(5)
    threshold = 1.0 / ALPHA["calibration"]
    quiet = [calibration_e_process(nights(1.0, 100, rng)).max() >= threshold for _ in range(200)]
    assert sum(quiet) <= 12  # 4 are expected at most; 12 or more of 200 at 2% have a chance of 1 in 1,000
    assert all(calibration_e_process(nights(0.3, 60, rng)).max() >= threshold for _ in range(20))


def test_the_gap_is_bounded_where_there_is_one_and_never_beyond_it() -> None:
    rng = np.random.default_rng(6)
    wrong = nights(0.0, 120, rng)  # favourites win half of their fights
    said = float(np.maximum(wrong.probability, 1.0 - wrong.probability).mean())
    assert 0.5 * (said - 0.5) < calibration_gap_bound(wrong) <= said - 0.5 + 0.03
    assert calibration_gap_bound(nights(1.0, 120, rng)) == 0.0


def test_intervals_that_miss_the_market_are_found() -> None:
    found = {one.test: one for one in run_tests(nights(1.0, 60, np.random.default_rng(7)), None)}
    assert set(found) == {"calibration", "coverage"}
    assert found["coverage"].alarm
    assert not found["calibration"].alarm


def test_a_mean_is_proven_from_below() -> None:
    score = np.full(200, 0.25)
    proven = mean_lower_bound(score, np.full(200, -1.0), (0.5, 1.0, 2.0), 0.05, np.arange(0.0, 0.5, 0.01))
    assert 0.15 < float(proven) < 0.25


def test_no_fights_no_test_results() -> None:
    empty = scored_fights([], (), [])
    assert run_tests(empty, 0.0) == []
    assert calibration_gap_bound(empty) == 0.0
    assert coverage_e_process(scored_fights([0.5], (1,), [0])) is None
    assert market_e_process(scored_fights([0.5], (1,), [0]), 0.0) is None
