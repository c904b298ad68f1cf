from __future__ import annotations

import numpy as np
import pytest

from benchmarks.intervals import recipes
from benchmarks.intervals.recipes import AS_TRAINED, Recipe, forecast, table
from engine.data.feature_matrix import TrainingMatrix
from engine.data.features import build_matrix
from engine.intervals import half_widths
from engine.simulation.league import LeagueConfig, simulate_league


@pytest.fixture(scope="module")
def matrix() -> TrainingMatrix:
    return build_matrix(simulate_league(LeagueConfig(fights=1500, seed=3)).log)


@pytest.fixture(autouse=True)
def _one_year(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "YEARS", range(2025, 2026))  # the league ends with 2025


def test_a_recipe_changes_intervals_and_leaves_the_engine_as_it_was(matrix: TrainingMatrix) -> None:
    before = half_widths.OUTWARD
    symmetric = forecast(matrix, Recipe("", {"OUTWARD": 0.0}, AS_TRAINED))
    outwards = forecast(matrix, Recipe("", {"OUTWARD": 0.8}, AS_TRAINED))
    moved = forecast(matrix, Recipe(""))
    assert before == half_widths.OUTWARD
    assert len(symmetric) == len(moved) > 400
    assert not np.array_equal(symmetric["width 0.8"], outwards["width 0.8"])
    np.testing.assert_allclose(symmetric["loss"], outwards["loss"], rtol=1e-9)  # the forecast itself is the same
    assert moved["inside 0.8"].mean() == pytest.approx(0.8, abs=0.03)


def test_the_table_has_a_row_for_every_recipe(matrix: TrainingMatrix, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "RECIPES", (Recipe("one"), Recipe("in use")))
    monkeypatch.setattr(recipes, "HELD_BACK", np.datetime64("2025-07-01"))
    rows = list(table(matrix))[2:]
    assert [row.split(" | ")[0] for row in rows] == ["| one", "| in use", "| in use", "| in use"]
    assert all("nan" not in row for row in rows)
