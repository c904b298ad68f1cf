"""Simulated worlds for measuring intervals: feature matrices with known true win probabilities.

A world draws 22 quantities for each fighter and 4 for the fight (70 columns in the mirror convention), and a random
function of them, the true logit. The function is antisymmetric: swapping the fighters turns p into 1 - p. The market
knows one part of the logit, with noise, and not the other; its prices include a margin, and some fights have no price.

There are six families of functions, from easy ones (sparse), which 3,000 fights suffice to learn, to hard ones (smooth,
trees); the best reachable log loss is about 0.60 to 0.64. `league_world` is a second, harder kind: simulated leagues in
which the features lack the form on the night, and are statistics of past fights only.

    python -m benchmarks.intervals.simulated_worlds --seed 1 --index 0 --out FOLDER

writes train.csv, test.csv and truth.csv, for the matrix commands of the command line.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from engine.data.feature_matrix import TrainingMatrix
from engine.data.features import MODEL_COLUMNS, build_matrix
from engine.market.devigging import add_margin
from engine.simulation.league import LeagueConfig, simulate_league
from engine.statistics.calibration import log_loss

Floats = NDArray[np.float64]
Score = Callable[[Floats, Floats, Floats], Floats]
"""Score of one side, (n,), from its own quantities (n, 22), the opponent's (n, 22) and the fight's (n, 4)."""

QUANTITIES = 22
CONTEXT = ("women", "five_rounds", "weight", "altitude")
TEST_FIGHTS = 1000
LEAGUE_TEST_FIGHTS = 600
EVENT_FIGHTS = 12
ODDS = ("red_decimal_odds", "blue_decimal_odds")


@dataclass(frozen=True, eq=False)
class World:
    """Training fights, later test fights, and the true probability that red wins each test fight, (n,)."""

    name: str
    train: TrainingMatrix
    test: TrainingMatrix
    truth: Floats

    @property
    def best_log_loss(self) -> float:
        """Expected log loss of the true probabilities, a lower bound for any forecast."""
        return float(-np.mean(self.truth * np.log(self.truth) + (1 - self.truth) * np.log1p(-self.truth)))


def draw_world(seed: int, index: int, fights: int, blindness: float | None = None) -> World:
    """Return world number `index` of a seed; the families take turns, everything else is random.

    `blindness` is the share of the true logit's variance that the market never sees; random up to 0.15 by default.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index,)))
    family = list(FAMILIES)[index % len(FAMILIES)]
    own, other, context, X = _draw_features(fights + TEST_FIGHTS, rng)
    seen, unseen = (_antisymmetric(FAMILIES[family](rng), own, other, context) for _ in range(2))
    drawn = rng.uniform(0.0, 0.15)
    blindness = drawn if blindness is None else blindness  # drawn in any case, so that all other draws stay
    signal = rng.uniform(0.7, 0.95)  # standard deviation of the true logit: a best log loss of 0.60 to 0.64
    priced_part = signal * np.sqrt(1.0 - blindness) * seen
    truth: Floats = expit(priced_part + signal * np.sqrt(blindness) * unseen).astype(np.float64)
    view = priced_part + rng.normal(0.0, rng.uniform(0.1, 0.25), len(truth))
    prices = np.maximum(np.round(add_margin(expit(view), rng.uniform(1.03, 1.07)), 2), 1.01)
    odds = np.where(rng.random(len(view))[:, None] < rng.uniform(0.05, 0.2), np.nan, prices)
    matrix = _matrix(X, rng.random(len(truth)) < truth, odds)
    train = np.arange(len(truth)) < fights
    return World(family, matrix.take(train), matrix.take(~train), truth[~train])


def league_world(seed: int, index: int, fights: int, blindness: float = 0.0) -> World:
    """Return a simulated league; the last fights of its log are the test fights.

    `blindness` is the share of the true logit's variance that belongs to strengths of which the market knows nothing.
    """
    state = np.random.SeedSequence(seed, spawn_key=(1, index)).generate_state(1)[0]
    league = simulate_league(
        LeagueConfig(fights=fights + LEAGUE_TEST_FIGHTS, seed=int(state), market_blindness=blindness)
    )
    table = league.log.fights
    decided = table[table["winner"].isin(["red", "blue"])]
    truth = np.array([league.truth[fight_id] for fight_id in decided["fight_id"]], dtype=np.float64)
    matrix = build_matrix(league.log).select(MODEL_COLUMNS)
    train = np.arange(len(matrix)) < fights
    return World("league", matrix.take(train), matrix.take(~train), truth[~train])


def _draw_features(count: int, rng: np.random.Generator) -> tuple[Floats, Floats, Floats, pd.DataFrame]:
    """Draw both sides' quantities, the fights', and the feature columns, in which a few values are missing."""
    loadings = rng.normal(0.0, 0.6, (6, QUANTITIES))
    sides = [rng.normal(size=(count, 6)) @ loadings + rng.normal(size=(count, QUANTITIES)) for _ in range(2)]
    for side in sides:
        side[:, :4] = np.exp(0.4 * side[:, :4])  # rates: skewed
        side[:, 4:7] = np.floor(np.abs(side[:, 4:7]) * 3)  # counts
    context = np.column_stack(
        [rng.random(count) < 0.15, rng.random(count) < 0.1, rng.integers(0, 9, count), rng.normal(size=count)]
    ).astype(np.float64)
    missing = np.arange(QUANTITIES) >= QUANTITIES - 4
    red, blue = (np.where(missing & (rng.random(side.shape) < 0.03), np.nan, side) for side in sides)
    names = [f"q{number:02d}" for number in range(QUANTITIES)]
    columns = [f"{prefix}_{name}" for prefix in ("red", "blue", "diff") for name in names]
    X = pd.DataFrame(np.hstack([red, blue, red - blue, context]), columns=[*columns, *CONTEXT])
    own, other = ((side - side.mean(axis=0)) / side.std(axis=0) for side in sides)
    return own, other, context, X


def _antisymmetric(score: Score, own: Floats, other: Floats, context: Floats) -> Floats:
    """Return one side's score minus the other's, scaled to standard deviation 1."""
    difference = score(own, other, context) - score(other, own, context)
    return np.asarray(difference / difference.std())


def _linear(rng: np.random.Generator, used: int) -> Score:
    weight = np.zeros(QUANTITIES)
    weight[rng.choice(QUANTITIES, used, replace=False)] = rng.normal(size=used)
    return lambda own, other, context: own @ weight


def _interactions(rng: np.random.Generator) -> Score:
    """Return a score with interactions between own quantities, the opponent's and the fight's."""
    base = _linear(rng, 5)
    pairs = rng.integers(0, QUANTITIES, (6, 2))
    weight, by_context = rng.normal(size=6), rng.integers(0, QUANTITIES, len(CONTEXT))

    def score(own: Floats, other: Floats, context: Floats) -> Floats:
        with_opponent = (own[:, pairs[:, 0]] * other[:, pairs[:, 1]]) @ weight
        with_fight = (own[:, by_context] * (context - context.mean(axis=0))).sum(axis=1)
        return np.asarray(base(own, other, context) + 0.6 * with_opponent + 0.3 * with_fight)

    return score


def _smooth(rng: np.random.Generator) -> Score:
    """Return a score of smooth functions along a few random directions."""
    directions = rng.normal(size=(QUANTITIES, 5)) * (rng.random((QUANTITIES, 5)) < 0.3)
    phase, weight = rng.uniform(-1.5, 1.5, 5), rng.normal(size=5)
    return lambda own, other, context: np.asarray(np.sin(0.4 * own @ directions + phase) @ weight)


def _trees(rng: np.random.Generator) -> Score:
    """Return a score of 12 trees of depth 3 over both sides and the fight."""
    width = 2 * QUANTITIES + len(CONTEXT)
    splits = rng.integers(0, width, (12, 3))
    cuts, leaves = rng.normal(0.0, 0.6, (12, 3)), rng.normal(size=(12, 8))

    def score(own: Floats, other: Floats, context: Floats) -> Floats:
        values = np.hstack([own, own - other, context])
        total = np.zeros(len(own))
        for split, cut, leaf in zip(splits, cuts, leaves, strict=True):
            total += leaf[(values[:, split] > cut) @ np.array([1, 2, 4])]
        return total

    return score


def _mixed(rng: np.random.Generator) -> Score:
    parts = [_linear(rng, 8), _smooth(rng), _trees(rng)]

    def score(own: Floats, other: Floats, context: Floats) -> Floats:
        drawn = [part(own, other, context) for part in parts]
        return np.asarray(sum(values / values.std() for values in drawn))

    return score


FAMILIES: dict[str, Callable[[np.random.Generator], Score]] = {
    "sparse": lambda rng: _linear(rng, 6),
    "dense": lambda rng: _linear(rng, QUANTITIES),
    "interactions": _interactions,
    "smooth": _smooth,
    "trees": _trees,
    "mixed": _mixed,
}


def _matrix(X: pd.DataFrame, won: NDArray[np.bool_], odds: Floats) -> TrainingMatrix:
    """Return the fights as a training matrix with one event a week."""
    event = np.arange(len(X)) // EVENT_FIGHTS
    return TrainingMatrix(
        X=X,
        won=won.astype(np.int8),
        event=np.char.add("event-", np.char.zfill(event.astype(np.str_), 5)),
        date=np.datetime64("2010-01-02") + 7 * event,
        red_odds=odds[:, 0],
        blue_odds=odds[:, 1],
        corner_known=np.zeros(len(X), dtype=np.bool_),
        experience=np.full(len(X), -1, dtype=np.int64),
    )


def write_world(world: World, folder: Path) -> None:
    """Write train.csv (with results and odds), test.csv (the features and odds) and truth.csv (`probability`)."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, matrix in (("train", world.train), ("test", world.test)):
        about = pd.DataFrame({"event": matrix.event, "date": matrix.date})
        odds = pd.DataFrame(dict(zip(ODDS, (matrix.red_odds, matrix.blue_odds), strict=True)))
        label = [pd.DataFrame({"won": matrix.won})] if name == "train" else []
        pd.concat([about, *label, odds, matrix.X], axis=1).to_csv(folder / f"{name}.csv", index=False)
    pd.DataFrame({"probability": world.truth, "won": world.test.won}).to_csv(folder / "truth.csv", index=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a world and print its name and log losses."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.intervals.simulated_worlds", description="Write one simulated world."
    )
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--index", type=int, default=0, help="number of the world (default: %(default)s)")
    parser.add_argument("--fights", type=int, default=3000, help="fights to train on (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    options = parser.parse_args(arguments)
    world = draw_world(options.seed, options.index, options.fights)
    write_world(world, options.out)
    print(f"{world.name}: best log loss {world.best_log_loss:.4f}, fell {log_loss(world.truth, world.test.won):.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
