"""A plain consensus of a fight's quotes, with which a feed runner decides whether the market has moved.

The mean over the bookmakers of the first fighter's probability, from which each bookmaker's margin is removed in
proportion to its inverse prices. Prices of exchanges are taken net of their commission. Only movements of it count: the
answers themselves use the consensus of the engine, by the method that a card names.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import fsum

from ledger.contracts.jobs import Fight, Quote


def consensus(fight: Fight, quotes: Iterable[Quote]) -> float | None:
    """Return the probability of the fighter whose name sorts first; None without a quote."""
    return mean_probability(quotes, min(fighter.name for fighter in fight.fighters))


def mean_probability(quotes: Iterable[Quote], fighter: str) -> float | None:
    """Return the mean probability of a fighter; None without a quote."""
    shares = []
    for quote in quotes:
        inverse = {name: 1 / net_price(price, quote.commission) for name, price in quote.prices.items()}
        shares.append(inverse[fighter] / fsum(inverse.values()))
    return fsum(shares) / len(shares) if shares else None


def net_price(price: float, commission: float) -> float:
    """Return a price net of the share of the winnings that an exchange keeps."""
    return 1 + (price - 1) * (1 - commission)
