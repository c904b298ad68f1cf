from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.intervals.coverage import blind_table, measure, measure_blind, summary, table
from benchmarks.intervals.methods import LEVELS, available
from benchmarks.intervals.simulated_worlds import FAMILIES, World, draw_world, league_world, write_world
from engine.data.feature_matrix import MirrorPlan
from engine.data.feature_matrix_files import read_matrix
from engine.members.member_fit import MemberParams
from engine.members.random_forest import ForestParams
from engine.statistics.calibration import log_loss
from engine.statistics.complements import logit_to_probability
from engine.training.soft_labels import market_logit
from engine.training.train import TrainingConfig

FEW = MemberParams(forest=ForestParams(trees=5))


@pytest.fixture(scope="module")
def world() -> World:
    return draw_world(seed=3, index=0, fights=360)


def test_worlds_are_drawn_from_their_seed_and_number(world: World) -> None:
    again, other = draw_world(3, 0, 360), draw_world(3, 6, 360)
    pd.testing.assert_frame_equal(world.train.X, again.train.X)
    assert np.array_equal(world.truth, again.truth)
    assert not np.array_equal(world.truth, other.truth)
    assert (world.name, other.name) == ("sparse", "sparse")


@pytest.mark.parametrize("index", range(len(FAMILIES)))
def test_results_fall_as_the_truth_says_and_the_market_knows_most_of_it(index: int) -> None:
    world = draw_world(4, index, 360)
    market = market_logit(world.test)
    priced = np.isfinite(market)
    assert 0.59 < world.best_log_loss < 0.65
    assert log_loss(world.truth, world.test.won) == pytest.approx(world.best_log_loss, abs=0.05)
    assert 0.75 < priced.mean() < 1.0
    best, seen = (log_loss(p[priced], world.test.won[priced]) for p in (world.truth, logit_to_probability(market)))
    assert best < seen < np.log(2)
    MirrorPlan.from_columns(list(world.train.X.columns))


def test_a_league_is_a_world_too() -> None:
    league = league_world(seed=3, index=0, fights=300)
    assert len(league.train) == 300
    assert len(league.test) == len(league.truth)
    assert log_loss(league.truth, league.test.won) == pytest.approx(league.best_log_loss, abs=0.06)


def test_a_blind_market_knows_less_of_the_same_world() -> None:
    worlds = [draw_world(3, 1, 360, blindness) for blindness in (0.0, 0.5)]
    pd.testing.assert_frame_equal(worlds[0].test.X, worlds[1].test.X)
    truth = [np.log(world.truth / (1.0 - world.truth)) for world in worlds]
    market = [market_logit(world.test) for world in worlds]
    seeing, blind = (
        np.corrcoef(each[np.isfinite(price)], price[np.isfinite(price)])[0, 1]
        for each, price in zip(truth, market, strict=True)
    )
    assert seeing > 0.9 > 0.8 > blind


def test_intervals_hold_less_of_the_truth_where_the_market_is_blind() -> None:
    config = TrainingConfig(bootstrap_samples=10, fits=1, folds=3, members=FEW, replica_members=FEW)
    results = [measure_blind([draw_world(3, 1, 400, share)], share, config) for share in (0.0, 0.5)]
    seeing, blind = (result.coverage[0] for result in results)
    assert blind.covered < seeing.covered
    assert (blind.lowest, seeing.lowest) == (blind.covered, seeing.covered)
    assert 0.7 < blind.closes < 1.0
    assert "| 50% | 1 |" in "\n".join(blind_table("worlds", results))


def test_every_method_is_measured(world: World) -> None:
    config = TrainingConfig(bootstrap_samples=10, fits=1, folds=3, members=FEW, replica_members=FEW)
    result = measure(world, available(), config)
    found = {(c.method, c.level): c for c in result.coverage}
    assert set(found) == {(method, level) for method in available() for level in LEVELS}
    ours, bootstrap = (found[name, 0.95] for name in ("anchored (ours)", "percentile bootstrap"))
    assert bootstrap.width < ours.width
    assert bootstrap.covered < ours.covered
    assert all(found[name, 0.8].width <= found[name, 0.95].width for name in available())
    [row] = [row for row in summary([result, result]) if (row["method"], row["level"]) == ("anchored (ours)", 0.95)]
    assert row["covered"] == row["lowest"] == pytest.approx(ours.covered)
    assert any("anchored (ours) | 95%" in line for line in table("worlds", [result]))


def test_a_written_world_is_read_by_the_matrix_way_in(world: World, tmp_path: Path) -> None:
    write_world(world, tmp_path)
    read = read_matrix(
        tmp_path / "train.csv",
        label="won",
        event="event",
        date="date",
        red_odds="red_decimal_odds",
        blue_odds="blue_decimal_odds",
    )
    pd.testing.assert_frame_equal(read.X, world.train.X)
    assert np.array_equal(read.red_odds, world.train.red_odds, equal_nan=True)
    # A written event is a name and a day: other labels, for the same fights together.
    one, two = (np.unique(events, return_inverse=True)[1] for events in (read.event, world.train.event))
    assert np.array_equal(one, two)
