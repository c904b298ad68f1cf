"""A member's predictions for all coalitions are those for the rows of each coalition, one by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.arrays import Floats, ReplicatedMember
from engine.data.feature_groups import GroupedColumns
from engine.data.feature_matrix import TrainingMatrix
from engine.errors import ValidationError
from engine.members.coalition_kernels import CARD_ROWS
from engine.members.coalitions import CoalitionRows, predict_coalitions
from engine.members.neural_network import StackedNetworks
from engine.members.preprocessing import PreprocessedMember, Preprocessing, PreprocessingStep
from engine.model.bundle import Bundle
from engine.model.trained_ensemble import Ensemble, load_ensemble


@pytest.fixture(scope="module")
def ensemble(bundle: Bundle) -> Ensemble:
    return load_ensemble(bundle)


@pytest.fixture(scope="module")
def rows(ensemble: Ensemble, league_matrix: TrainingMatrix) -> CoalitionRows:
    values = league_matrix.X.tail(7).to_numpy(np.float64, copy=True)
    values[0, ::3] = np.nan
    return CoalitionRows(values, ensemble.groups.neutral_rows(values), ensemble.groups)


def _one_by_one(member: ReplicatedMember, rows: CoalitionRows) -> Floats:
    predictions = []
    for coalition in range(rows.n_coalitions):
        inside = (coalition >> np.maximum(rows.columns.group, 0)) & 1 == 1
        inside |= rows.columns.group < 0
        predictions.append(member.predict_replicas(np.where(inside, rows.values, rows.neutral)).mean(axis=0))
    return np.column_stack(predictions)


@pytest.mark.parametrize("name", ["random_forest", "xgboost", "neural_network"])
def test_every_coalition_is_that_of_its_row(ensemble: Ensemble, rows: CoalitionRows, name: str) -> None:
    member = ensemble.point.by_name()[name]
    found, expected = predict_coalitions(member, rows), _one_by_one(member, rows)
    assert np.ptp(expected, axis=1).min() > 1e-4  # the groups matter
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=1e-14)


def test_a_row_alone_has_the_same_bits(ensemble: Ensemble, rows: CoalitionRows) -> None:
    for member in ensemble.point.by_name().values():
        together = predict_coalitions(member, rows)
        for row in range(len(rows.values)):
            alone = CoalitionRows(rows.values[[row]], rows.neutral[[row]], rows.columns)
            np.testing.assert_array_equal(predict_coalitions(member, alone)[0], together[row])


def test_more_rows_than_are_walked_together_have_the_same_bits(ensemble: Ensemble, rows: CoalitionRows) -> None:
    times = 1 + CARD_ROWS // len(rows.values)
    many = CoalitionRows(np.tile(rows.values, (times, 1)), np.tile(rows.neutral, (times, 1)), rows.columns)
    for member in ensemble.point.by_name().values():
        together = predict_coalitions(member, rows)
        np.testing.assert_array_equal(predict_coalitions(member, many), np.tile(together, (times, 1)))


def test_preprocessing_comes_first(ensemble: Ensemble, rows: CoalitionRows) -> None:
    width = rows.values.shape[1]
    steps = (
        PreprocessingStep("fill", np.linspace(-1.0, 1.0, width), np.zeros(width)),
        PreprocessingStep("rescale", np.linspace(0.5, 2.0, width), np.ones(width)),
    )
    member = PreprocessedMember(ensemble.point.neural_network, Preprocessing(steps))
    np.testing.assert_allclose(predict_coalitions(member, rows), _one_by_one(member, rows), rtol=0.0, atol=1e-14)


@pytest.mark.slow  # each number of layers is compiled
@pytest.mark.parametrize("sizes", [(), (5,), (6, 5, 4)])
def test_a_network_may_have_any_number_of_layers(rows: CoalitionRows, sizes: tuple[int, ...]) -> None:
    rng = np.random.default_rng(len(sizes))
    width, fits = rows.values.shape[1], 2
    layers = list(zip((width, *sizes), (*sizes, 1), strict=True))
    networks = StackedNetworks(
        medians=rng.normal(size=(fits, width)),
        means=rng.normal(size=(fits, width)),
        scales=10.0 * rng.uniform(0.5, 2.0, (fits, width)),
        weights=tuple(rng.normal(size=(fits, *shape)) / np.sqrt(shape[0]) for shape in layers),
        biases=tuple(rng.normal(size=(fits, 1, shape[1])) for shape in layers),
    )
    np.testing.assert_allclose(predict_coalitions(networks, rows), _one_by_one(networks, rows), rtol=0.0, atol=1e-13)


def test_columns_without_a_group_keep_their_values(ensemble: Ensemble, rows: CoalitionRows) -> None:
    columns = list(ensemble.columns)
    columns[columns.index("weight_limit_lbs")] = "venue"
    grouped = GroupedColumns.from_columns(columns)
    kept = CoalitionRows(rows.values, grouped.neutral_rows(rows.values), grouped)
    for member in ensemble.point.by_name().values():
        np.testing.assert_allclose(predict_coalitions(member, kept), _one_by_one(member, kept), rtol=0.0, atol=1e-14)


def test_a_model_without_groups_has_one_coalition(ensemble: Ensemble, rows: CoalitionRows) -> None:
    none = replace(rows.columns, names=(), group=np.full_like(rows.columns.group, -1))
    alone = CoalitionRows(rows.values, rows.values, none)
    for member in ensemble.point.by_name().values():
        expected = member.predict_replicas(rows.values).mean(axis=0)[:, None]
        np.testing.assert_allclose(predict_coalitions(member, alone), expected, rtol=0.0, atol=1e-14)


def test_another_kind_of_member_is_refused(rows: CoalitionRows) -> None:
    class Other:
        n_replicas = 1

        def predict_replicas(self, X: Floats, start: int = 0, stop: int | None = None) -> Floats:
            return np.zeros((1, len(X)))

    with pytest.raises(ValidationError, match="coalitions of a Other"):
        predict_coalitions(Other(), rows)
