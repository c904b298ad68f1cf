"""Contributions are exact Shapley values, add up to the answer's logit to the bit, and change sign under a swap."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine.data.feature_matrix import TrainingMatrix, mirror
from engine.data.fighter_snapshot import FighterRequest, FightRequest
from engine.data.rating_parts import PART_GROUPS
from engine.ensemble import Corner, ProductionEnsembleManager, create_production_ensemble_config
from engine.errors import EngineError, ValidationError
from engine.members.coalition_kernels import shapley_values
from engine.model.contributions import Contributions, coalition_logits, explain_rows
from engine.model.inference import point_logits
from engine.model.trained_ensemble import Ensemble, point_margins
from engine.simulation.league import League
from engine.statistics.complements import logit_to_probability

CORNERS: list[Corner] = ["red", "blue", "unknown"]
STEP = 2.0**-40


@pytest.fixture(scope="module")
def manager(bundle_folder: Path) -> ProductionEnsembleManager:
    manager = ProductionEnsembleManager(create_production_ensemble_config(bootstrap_samples=0))
    manager.load_models(bundle_folder)
    return manager


@pytest.fixture(scope="module")
def X(league_matrix: TrainingMatrix) -> pd.DataFrame:
    return league_matrix.X.tail(21).reset_index(drop=True)


def _explained(manager: ProductionEnsembleManager, X: pd.DataFrame, corners: list[Corner]) -> list[Contributions]:
    found = manager.predict_unpriced(X, corners=corners, contributions=True)
    return [prediction.contributions for prediction in found if prediction.contributions is not None]


@pytest.fixture(scope="module", params=[False, True], ids=["mirror-averaged", "corner-aware"])
def ensemble(request: pytest.FixtureRequest, manager: ProductionEnsembleManager) -> Ensemble:
    return replace(manager.ensemble, corner_aware=request.param)


def test_terms_add_up_in_any_order_and_give_the_answer(manager: ProductionEnsembleManager, X: pd.DataFrame) -> None:
    corners = CORNERS * 7
    predictions = manager.predict_unpriced(X, corners=corners, contributions=True)
    for prediction, corner in zip(predictions, corners, strict=True):
        found = prediction.contributions
        assert found is not None
        assert float(logit_to_probability(np.array(found.logit))) == prediction.probability
        terms = [found.corner, *found.groups.values()]
        assert sum(terms) == sum(reversed(terms)) == sum(sorted(terms)) == found.logit
        assert (found.corner == 0.0) == (corner == "unknown")
        assert all(term == np.rint(term / STEP) * STEP for term in terms)


def test_a_swap_negates_every_term_exactly(ensemble: Ensemble, X: pd.DataFrame) -> None:
    values, sides = X.to_numpy(np.float64), np.array([1, -1, 0] * 7, dtype=np.int8)
    logit, _ = point_logits(ensemble, values, sides)
    swapped_logit, _ = point_logits(ensemble, ensemble.plan(values), -sides)
    swapped = explain_rows(ensemble, ensemble.plan(values), -sides, swapped_logit)
    for one, other in zip(explain_rows(ensemble, values, sides, logit), swapped, strict=True):
        assert (other.logit, other.corner) == (-one.logit, -one.corner)
        assert other.groups == {name: -value for name, value in one.groups.items()}


def test_coalitions_are_the_logits_of_their_rows(ensemble: Ensemble, X: pd.DataFrame) -> None:
    values, sides = X.head(6).to_numpy(np.float64), np.array([1, -1, 0] * 2, dtype=np.int8)
    found, grouped = coalition_logits(ensemble, values, sides), ensemble.groups
    neutral = grouped.neutral_rows(values)
    for coalition in range(found.shape[1]):
        inside = (coalition >> np.maximum(grouped.group, 0)) & 1 == 1
        expected, _ = point_logits(ensemble, np.where(inside | (grouped.group < 0), values, neutral), sides)
        np.testing.assert_allclose(found[:, coalition], expected, rtol=0.0, atol=1e-12)
    if not ensemble.corner_aware:
        np.testing.assert_array_equal(found[:, 0], ensemble.calibration(np.zeros(6), sides))


def test_contributions_are_means_over_all_orders_of_the_groups(
    manager: ProductionEnsembleManager, X: pd.DataFrame
) -> None:
    ensemble = manager.ensemble
    few = replace(ensemble.groups, group=np.minimum(ensemble.groups.group, 3), names=ensemble.groups.names[:4])
    small = replace(ensemble)
    small.__dict__["groups"] = few
    values, sides = X.head(3).to_numpy(np.float64), np.array([1, -1, 0], dtype=np.int8)
    logit, _ = point_logits(small, values, sides)
    neutral = few.neutral_rows(values)

    def value(groups: tuple[int, ...]) -> np.ndarray:
        return point_logits(small, np.where(np.isin(few.group, groups), values, neutral), sides)[0]

    expected = np.zeros((3, 4))
    orders = list(permutations(range(4)))
    for order, place in product(orders, range(4)):
        expected[:, order[place]] += (value(order[: place + 1]) - value(order[:place])) / len(orders)
    found = [list(one.groups.values()) for one in explain_rows(small, values, sides, logit)]
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=10 * STEP)


def test_logits_of_other_answers_are_refused(manager: ProductionEnsembleManager, X: pd.DataFrame) -> None:
    values, sides = X.head(2).to_numpy(np.float64), np.zeros(2, dtype=np.int8)
    logit, _ = point_logits(manager.ensemble, values, sides)
    with pytest.raises(EngineError, match="the coalition of all groups"):
        explain_rows(manager.ensemble, values, sides, logit + 1e-6)


def test_the_rating_belongs_to_its_group(manager: ProductionEnsembleManager, X: pd.DataFrame) -> None:
    """Offset and members alike: without the rating's group a coalition does not know the rating."""
    ensemble = manager.ensemble
    values, sides = X.head(4).to_numpy(np.float64), np.zeros(4, dtype=np.int8)
    assert ensemble.offset.position is not None
    assert ensemble.offset.slope > 0.0
    others = values.copy()
    others[:, ensemble.offset.position] *= -1.0
    without = np.arange(1 << len(ensemble.groups.names)) >> ensemble.groups.names.index("price_ratings") & 1 == 0
    one, other = (coalition_logits(ensemble, rows, sides) for rows in (values, others))
    np.testing.assert_allclose(one[:, without], other[:, without], rtol=0.0, atol=1e-14)
    assert np.abs(one - other)[:, ~without].min() > 1e-6


@pytest.fixture(scope="module")
def split(manager: ProductionEnsembleManager, league: League) -> tuple[np.ndarray, np.ndarray]:
    """Rows of upcoming fights, and their rating in parts."""
    ensemble = manager.ensemble
    assert ensemble.snapshot is not None
    assert ensemble.offset.position is not None
    rows = ensemble.snapshot.features(
        [
            FightRequest(
                first=FighterRequest(name=fight.fighters[0]),
                second=FighterRequest(name=fight.fighters[1]),
                date=fight.start.date(),
                weight_class=fight.weight_class,
            )
            for fight in league.upcoming[0][:6]
        ]
    )
    return rows.X[list(ensemble.columns)].to_numpy(np.float64), rows.rating_parts[
        ensemble.columns[ensemble.offset.position]
    ]


@pytest.mark.parametrize("few", [False, True], ids=["all groups", "without striking and prices"])
def test_parts_of_the_rating_act_in_their_groups(
    manager: ProductionEnsembleManager, split: tuple[np.ndarray, np.ndarray], few: bool
) -> None:
    """Against every coalition's own row for the members, and sum of parts for the offset."""
    ensemble = replace(manager.ensemble)
    position = ensemble.offset.position
    assert position is not None
    if few:  # a group that the model does not have leaves its part to the group of the rating
        ensemble.__dict__["groups"] = replace(
            ensemble.groups, names=ensemble.groups.names[:4], group=np.minimum(ensemble.groups.group, 3)
        )
    (values, parts), grouped = split, ensemble.groups
    sides, own = np.array([1, -1, 0] * 2, dtype=np.int8), grouped.names[grouped.group[position]]
    home = [name if name in grouped.names else own for name in PART_GROUPS]
    found = coalition_logits(ensemble, values, sides, parts)
    for coalition in range(found.shape[1]):
        inside = {name for place, name in enumerate(grouped.names) if coalition >> place & 1}
        known = [group < 0 or grouped.names[group] in inside for group in grouped.group]
        rows = np.where(known, values, grouped.neutral_rows(values))
        margin, _ = point_margins(ensemble.point.by_name(), ensemble.weights, ensemble.plan, rows, None)
        rating = parts[:, [name in inside for name in home]].sum(axis=1)
        expected = ensemble.calibration(ensemble.offset.add_members(ensemble.offset.slope * rating, margin), sides)
        np.testing.assert_allclose(found[:, coalition], expected, rtol=0.0, atol=1e-12)


def test_parts_move_contributions_by_their_share_of_the_offset(
    manager: ProductionEnsembleManager, split: tuple[np.ndarray, np.ndarray]
) -> None:
    (values, parts), ensemble = split, manager.ensemble
    corners: list[Corner] = ["unknown"] * len(values)
    given = [None, *parts[1:]]
    whole = manager.predict_unpriced_rows(values, corners=corners, contributions=True)
    shared = manager.predict_unpriced_rows(values, corners=corners, contributions=True, rating_parts=given)
    assert shared[0] == whole[0]
    assert [replace(one, contributions=None) for one in shared] == [replace(one, contributions=None) for one in whole]
    for before, after, row, rating in zip(
        whole[1:], shared[1:], parts[1:], values[1:, ensemble.offset.position], strict=True
    ):
        assert before.contributions is not None
        assert after.contributions is not None
        assert sum(after.contributions.groups.values(), after.contributions.corner) == after.contributions.logit
        assert after.contributions.logit == before.contributions.logit
        for name, value in after.contributions.groups.items():
            part = row[PART_GROUPS.index(name)] - (rating if name == "price_ratings" else 0.0)
            expected = ensemble.calibration.slope * ensemble.offset.slope * part
            assert value - before.contributions.groups[name] == pytest.approx(expected, abs=20 * STEP)


def test_a_swap_negates_every_term_of_a_rating_in_parts(
    ensemble: Ensemble, split: tuple[np.ndarray, np.ndarray]
) -> None:
    (values, parts), sides = split, np.array([1, -1, 0] * 2, dtype=np.int8)
    logit, _ = point_logits(ensemble, values, sides)
    one = explain_rows(ensemble, values, sides, logit, parts)
    other = explain_rows(ensemble, ensemble.plan(values), -sides, -logit, -parts)
    assert [(found.logit, found.corner) for found in other] == [(-found.logit, -found.corner) for found in one]
    assert [found.groups for found in other] == [
        {name: -value for name, value in found.groups.items()} for found in one
    ]


def test_parts_of_another_rating_are_refused(
    manager: ProductionEnsembleManager, split: tuple[np.ndarray, np.ndarray]
) -> None:
    values, parts = split
    with pytest.raises(EngineError, match="the coalition of all groups"):
        manager.predict_unpriced_rows(values, contributions=True, rating_parts=list(parts[::-1]))
    with pytest.raises(ValidationError, match="'rating_parts': 5"):
        manager.predict_unpriced_rows(values, contributions=True, rating_parts=list(parts[1:]))


def test_contributions_of_a_row_do_not_depend_on_others(manager: ProductionEnsembleManager, X: pd.DataFrame) -> None:
    corners = CORNERS * 7
    together = _explained(manager, X, corners)
    alone = [_explained(manager, X.iloc[[row]], [corners[row]])[0] for row in range(len(X))]
    assert alone == together
    assert _explained(manager, X.iloc[::-1], corners[::-1]) == together[::-1]


def test_a_neutral_fight_has_no_contributions(manager: ProductionEnsembleManager, X: pd.DataFrame) -> None:
    grouped = manager.ensemble.groups
    neutral = pd.DataFrame(grouped.neutral_rows(X.to_numpy(np.float64)), columns=X.columns)
    (found, *_) = _explained(manager, neutral, ["unknown"] * len(X))
    assert found == Contributions(0.0, 0.0, dict.fromkeys(grouped.names, 0.0))


def test_they_are_computed_only_if_asked_for(manager: ProductionEnsembleManager, X: pd.DataFrame) -> None:
    without, with_them = manager.predict_unpriced(X), manager.predict_unpriced(X, contributions=True)
    assert [replace(prediction, contributions=None) for prediction in with_them] == without
    swapped = manager.predict_unpriced(mirror(X), contributions=True)
    assert [-one.contributions.logit for one in with_them if one.contributions] == [
        other.contributions.logit for other in swapped if other.contributions
    ]


def test_a_model_without_grouped_columns_has_the_corner_alone(
    manager: ProductionEnsembleManager, X: pd.DataFrame
) -> None:
    bare = replace(manager.ensemble)
    bare.__dict__["groups"] = replace(bare.groups, names=(), group=np.full_like(bare.groups.group, -1))
    values, sides = bare.groups.neutral_rows(X.head(2).to_numpy(np.float64)), np.array([1, 0], dtype=np.int8)
    logit, _ = point_logits(bare, values, sides)
    assert [(one.groups, one.logit == one.corner) for one in explain_rows(bare, values, sides, logit)] == [
        ({}, True)
    ] * 2


@pytest.mark.parametrize("groups", [1, 2, 5, 10])
def test_shapley_values_of_an_additive_game_are_its_terms(groups: int) -> None:
    terms = np.random.default_rng(groups).normal(size=(3, groups))
    inside = np.arange(1 << groups)[:, None] >> np.arange(groups) & 1
    weights = np.array([1.0 / groups] * groups)
    for size in range(1, groups):
        weights[size] = weights[size - 1] * size / (groups - size)
    found = np.zeros_like(terms)
    shapley_values(terms @ inside.T, weights, found)
    np.testing.assert_allclose(found, terms, rtol=0.0, atol=1e-13)
