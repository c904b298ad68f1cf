"""The parts of a rating add up to it to the bit, are its terms by group, and change sign under a swap."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from engine.data.fighter_snapshot import FeatureRows, FighterRequest, FighterSnapshot, FightRequest
from engine.data.rated_log import RATING_COLUMNS
from engine.data.rating_parts import PART_GROUPS
from engine.data.side_features import BASE_FEATURES
from engine.simulation.league import League

STEP = 2.0**-30
OWN = dict(zip(RATING_COLUMNS, ("price_ratings", "results_ratings"), strict=True))


@pytest.fixture(scope="module")
def snapshot(league: League) -> FighterSnapshot:
    return FighterSnapshot.from_log(league.log)


def _rows(snapshot: FighterSnapshot, *, swap: bool = False) -> FeatureRows:
    day = snapshot.data_cutoff + timedelta(days=9)
    names = snapshot.names[:40].reshape(20, 2).tolist()
    sides = [[FighterRequest(name=name) for name in pair] for pair in names]
    sides[0][1] = FighterRequest(name="New Comer", debut=True, record=(12, 1, 0, None))
    return snapshot.features(
        [FightRequest(first=pair[swap], second=pair[not swap], date=day, weight_class="Lightweight") for pair in sides]
    )


@pytest.mark.parametrize("column", RATING_COLUMNS)
def test_parts_add_up_to_the_rating_in_any_order(snapshot: FighterSnapshot, column: str) -> None:
    rows = _rows(snapshot)
    parts = rows.rating_parts[column]
    np.testing.assert_array_equal(parts.sum(axis=1), rows.X[column])
    np.testing.assert_array_equal(np.cumsum(parts[:, ::-1], axis=1)[:, -1], rows.X[column])
    np.testing.assert_array_equal(parts, np.rint(parts / STEP) * STEP)
    for group in ("age_and_size", "record", "activity", "striking", "wrestling", "durability", OWN[column]):
        assert np.abs(parts[:, PART_GROUPS.index(group)]).max() > 1e-3, group
    for group in ("context", "other"):
        assert not parts[:, PART_GROUPS.index(group)].any()


@pytest.mark.parametrize("column", RATING_COLUMNS)
def test_a_swap_negates_every_part_exactly(snapshot: FighterSnapshot, column: str) -> None:
    one, other = (_rows(snapshot, swap=swap).rating_parts[column] for swap in (False, True))
    np.testing.assert_array_equal(other, -one)


@pytest.mark.parametrize(
    ("feature", "group"), [("slpm", "striking"), ("win_share", "record"), ("elo", "results_ratings")]
)
def test_a_feature_acts_on_its_group_alone(snapshot: FighterSnapshot, feature: str, group: str) -> None:
    """The rating without the feature's coefficient is less by the change of that group's part."""
    ratings = snapshot.ratings[0]
    coefficients = ratings.coefficients.copy()
    coefficients[BASE_FEATURES.index(feature)] = 0.0
    without = replace(snapshot, ratings=(replace(ratings, coefficients=coefficients), snapshot.ratings[1]))
    (column, _), (one, other) = RATING_COLUMNS, (_rows(one) for one in (snapshot, without))
    change = one.rating_parts[column] - other.rating_parts[column]
    place = PART_GROUPS.index(group)
    assert np.abs(change[:, place]).max() > 1e-4
    np.testing.assert_allclose(change[:, place], one.X[column] - other.X[column], rtol=0.0, atol=2 * STEP)
    np.testing.assert_allclose(np.delete(change, place, axis=1), 0.0, rtol=0.0, atol=2 * STEP)


def test_strengths_are_in_the_own_group_of_a_rating(snapshot: FighterSnapshot) -> None:
    flat = replace(
        snapshot, ratings=tuple(replace(one, strength=np.zeros_like(one.strength)) for one in snapshot.ratings)
    )
    one, other = _rows(snapshot), _rows(flat)
    for column, own in OWN.items():
        change = one.rating_parts[column] - other.rating_parts[column]
        place = PART_GROUPS.index(own)
        assert np.abs(change[:, place]).max() > 0.1
        assert not np.delete(change, place, axis=1).any()
