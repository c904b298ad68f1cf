"""Coverage of 95% intervals of a return on stake, where the true return is known: bootstrap over events, Student's t.

    python -m benchmarks.intervals.bet_returns [--seasons 800]

Bets of simulated seasons have log-uniform prices and win with the probability that gives them the stated return.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.arrays import Floats
from engine.statistics.bet_returns import return_on_stake
from engine.statistics.scores import Estimate, t_interval

WORLDS = ((20, 0.0, 4.0), (20, 0.0, 9.0), (30, 0.0, 12.0), (30, 0.1, 9.0), (60, -0.05, 9.0))
"""Number of events, true return, and longest price."""
SHORTEST_PRICE = 1.5


def simulate(
    generator: np.random.Generator, events: int, edge: float, longest: float
) -> tuple[Floats, Floats, NDArray[np.str_]]:
    """Return profits, stakes and events of bets whose expected return is exactly `edge`, (n,) each."""
    event = np.repeat(np.arange(events), 1 + generator.poisson(2, events))
    price = np.exp(generator.uniform(np.log(SHORTEST_PRICE), np.log(longest), len(event)))
    stake = np.exp(generator.normal(0.0, 0.5, len(event)))
    won = generator.random(len(event)) < (1.0 + edge) / price
    return np.where(won, stake * (price - 1.0), -stake), stake, event.astype(str)


def student_interval(profit: Floats, stake: Floats, event: NDArray[np.str_]) -> Estimate:
    """Return the return on stake with its clustered t interval."""
    member = np.unique(event, return_inverse=True)[1]
    profits, stakes = np.bincount(member, profit), np.bincount(member, stake)
    value, events = float(profits.sum() / stakes.sum()), len(profits)
    spread = np.sqrt(events / (events - 1) * np.sum((profits - value * stakes) ** 2))
    return t_interval(value, float(spread / stakes.sum()), events)


def covers(estimate: Estimate, truth: float) -> bool:
    """Return True if an interval contains the truth."""
    return estimate.lower is not None and estimate.upper is not None and estimate.lower <= truth <= estimate.upper


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the shares of intervals that contain the true return."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.intervals.bet_returns", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--seasons", type=int, default=800, help="default: %(default)s")
    seasons = parser.parse_args(arguments).seasons
    print("events  return  longest price  bootstrap  Student's t")
    for events, edge, longest in WORLDS:
        generator = np.random.default_rng(3)
        inside = []
        for _ in range(seasons):
            bets = simulate(generator, events, edge, longest)
            estimate = return_on_stake(*bets).estimate
            if estimate.lower is not None:
                inside.append((covers(estimate, edge), covers(student_interval(*bets), edge)))
        bootstrap, student = np.mean(inside, axis=0)
        print(f"{events:6}  {edge:+6.2f}  {longest:13.0f}  {bootstrap:9.1%}  {student:11.1%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
