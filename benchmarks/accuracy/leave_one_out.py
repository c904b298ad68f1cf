"""How much the price that is bet at moves the consensus that judges the bet, for simulated bookmakers.

    python -m benchmarks.accuracy.leave_one_out [--seed N] [--fights N]

Bookmakers see the market's logit with errors of their own (standard deviation 0.05, 0.10, 0.20), with overrounds of
1.03 to 1.065. For every bet at a best price: the mean edge by the consensus of all bookmakers, by that of the others,
and by the market that all of them see; and of the bets with a positive edge, their share and their mean edge by that
market.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import numpy as np

from engine.arrays import Floats
from engine.market.consensus import consensus
from engine.market.devigging import add_margin
from engine.market.quotes import BookmakerQuote
from engine.simulation.bookmakers import BOOKMAKER_OVERROUNDS
from engine.statistics.complements import logit_to_probability

FIGHTS = 4000
SPREADS = (0.05, 0.10, 0.20)
BOOKMAKERS = (4, 8)


def edges(bookmakers: int, spread: float, fights: int, seed: int) -> Floats:
    """Return for each bet the edge by all bookmakers, by the others, and by the market that they see, (bets, 3)."""
    rng = np.random.default_rng(seed)
    market = rng.normal(0.0, 0.9, fights)
    views = market[:, None] + rng.normal(0.0, spread, (fights, bookmakers))
    overrounds = np.array(list(BOOKMAKER_OVERROUNDS.values()))[:bookmakers]
    prices = add_margin(logit_to_probability(views), overrounds)
    true = logit_to_probability(market)
    rows = []
    for fight in range(fights):
        found = consensus([BookmakerQuote(str(book), tuple(pair)) for book, pair in enumerate(prices[fight].tolist())])
        for side, probability in enumerate((true[fight], 1.0 - true[fight])):
            price = found.best_prices[side].price
            judged_by = (found.probabilities[side], found.for_bets[side].probabilities[side], probability)
            rows.append([one * price - 1.0 for one in judged_by])
    return np.array(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy.leave_one_out", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fights", type=int, default=FIGHTS)
    options = parser.parse_args(arguments)
    for bookmakers in BOOKMAKERS:
        for spread in SPREADS:
            found = edges(bookmakers, spread, options.fights, options.seed)
            whole, others, true = found.mean(axis=0)
            line = f"{bookmakers} bookmakers, errors {spread:.2f}  mean edge: all {whole:+.2%}, others {others:+.2%}, "
            line += f"true {true:+.2%}"
            for name, column in (("all", 0), ("others", 1)):
                chosen = found[found[:, column] > 0.0]
                gain = f"{chosen[:, 2].mean():+.2%}" if len(chosen) else "none"
                line += f"  positive by {name}: {len(chosen) / len(found):.1%}, true edge {gain}"
            print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
