from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data.feature_matrix import MirrorPlan, TrainingMatrix
from engine.data.features import MODEL_COLUMNS
from engine.monitoring.drift import (
    ALPHA,
    BINS,
    MISSING,
    TOLERANCE,
    FeatureBins,
    bin_shares,
    decode_bins,
    drift_e_process,
    stability_index,
)


def rows(matrix: TrainingMatrix) -> np.ndarray:
    return matrix.X.to_numpy(np.float64)


@pytest.fixture
def bins(league_matrix: TrainingMatrix) -> FeatureBins:
    return FeatureBins.from_matrix(league_matrix)


def test_shares_add_up_and_quintiles_split_evenly(bins: FeatureBins) -> None:
    assert bins.shares.shape == (len(MODEL_COLUMNS), BINS + 1)
    assert bins.shares.sum(axis=1) == pytest.approx(1.0)
    assert bins.shares[:, :BINS].max(axis=1).min() < 0.25  # of a feature whose values are all different


def test_it_does_not_matter_who_stands_first(bins: FeatureBins, league_matrix: TrainingMatrix) -> None:
    values = rows(league_matrix)[-50:]
    turned = MirrorPlan.from_columns(bins.columns)(values)
    one, other = (decode_bins(bins.encode_bins(side), len(bins.columns)) for side in (values, turned))
    assert (one == other[:, ::-1]).all()


def test_a_missing_value_has_a_bin_of_its_own(bins: FeatureBins) -> None:
    assert (bins.bin_indices(np.full((1, len(bins.columns)), np.nan)) == MISSING).all()


def test_bins_travel_through_the_manifest(bins: FeatureBins, league_matrix: TrainingMatrix) -> None:
    again = FeatureBins.from_manifest(bins.columns, bins.to_manifest())
    assert again.encode_bins(rows(league_matrix)[:5]) == bins.encode_bins(rows(league_matrix)[:5])
    assert len(bins.encode_bins(rows(league_matrix)[:1])[0]) == 2 * len(bins.columns)


def test_the_same_sport_is_left_in_peace_and_a_broken_feature_is_found(
    bins: FeatureBins, league_matrix: TrainingMatrix
) -> None:
    values = rows(league_matrix)[-360:]
    event = np.repeat(np.arange(30), 12)
    calm = decode_bins(bins.encode_bins(values), len(bins.columns))
    assert drift_e_process(calm, event, bins.max_shares).max() < 1.0 / ALPHA
    assert stability_index(calm, bins).max() < 0.25
    broken = values.copy()
    broken[:, 0] = np.nan  # the source of a feature has gone
    found = decode_bins(bins.encode_bins(broken), len(bins.columns))
    assert drift_e_process(found, event, bins.max_shares).max() >= 1.0 / ALPHA
    assert stability_index(found, bins).argmax() == 0


@given(st.floats(0.05, 0.6), st.floats(0.0, 1.0))
def test_the_evidence_is_not_expected_to_grow_while_a_share_is_within_its_tolerance(share: float, part: float) -> None:
    """By enumeration: two events of one fight whose only feature falls into bin 0 as often as is allowed at most."""
    shares = np.zeros((1, BINS + 1))
    shares[0, 0], shares[0, 1] = share, 1.0 - share
    chance = share + part * TOLERANCE
    expected = 0.0
    for first, second in product((0, 1), repeat=2):
        # Seen from both sides the fight has the same bin.
        numbers = np.array([[[first]] * 2, [[second]] * 2], dtype=np.uint8)
        weight = (chance if first == 0 else 1 - chance) * (chance if second == 0 else 1 - chance)
        expected += weight * drift_e_process(numbers, np.array([0, 1]), np.minimum(shares + TOLERANCE, 1.0))[-1]
    assert expected <= 1.0 + 1e-9


def _as_a_feed_tells(values: np.ndarray) -> np.ndarray:
    """Return rows as requests make them that tell two names and a day: no title, no rounds, and no class of some."""
    rows = values.copy()
    rows[:, [MODEL_COLUMNS.index(name) for name in ("title_bout", "scheduled_rounds")]] = np.nan
    unsure = np.arange(len(rows)) % 4 == 0
    rows[np.ix_(unsure, [MODEL_COLUMNS.index(name) for name in ("women", "weight_limit_lbs")])] = np.nan
    return rows


@pytest.mark.slow
def test_what_a_feed_never_carries_is_no_drift_however_long_it_goes_on(
    bins: FeatureBins, league_matrix: TrainingMatrix
) -> None:
    rng = np.random.default_rng(1)
    values = _as_a_feed_tells(rows(league_matrix))
    event = np.repeat(np.arange(250), 12)
    alarms = 0
    for _ in range(20):
        drawn = decode_bins(bins.encode_bins(values[rng.integers(0, len(values), len(event))]), len(bins.columns))
        alarms += drift_e_process(drawn, event, bins.max_shares).max() >= 1.0 / ALPHA
        assert stability_index(drawn[-100:], bins)[bins.optional].max() < 0.25
    assert alarms == 0
    untold = np.minimum(bins.shares + TOLERANCE, 1.0)
    assert drift_e_process(drawn[:96], event[:96], untold).max() >= 1.0 / ALPHA  # by the eighth event


def test_a_context_that_is_told_and_is_another_than_the_training_s_is_found(
    bins: FeatureBins, league_matrix: TrainingMatrix
) -> None:
    values = _as_a_feed_tells(rows(league_matrix)[-360:])
    limit = MODEL_COLUMNS.index("weight_limit_lbs")
    values[:, limit] = 115.0
    lighter = decode_bins(bins.encode_bins(values), len(bins.columns))
    event = np.repeat(np.arange(30), 12)
    assert drift_e_process(lighter, event, bins.max_shares).max() >= 1.0 / ALPHA
    assert stability_index(lighter, bins)[limit] > 0.25


def test_shares_are_those_of_the_rows() -> None:
    numbers = np.array([[0], [0], [4], [MISSING]], dtype=np.uint8)
    assert bin_shares(numbers).tolist() == [[0.5, 0.0, 0.0, 0.0, 0.25, 0.25]]
