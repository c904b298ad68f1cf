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
    first, second = sorted(fighter.name for fighter in fight.fighters)
    shares = []
    for quote in quotes:
        one, other = (1 / _net(quote.prices[name], quote.commission) for name in (first, second))
        shares.append(one / (one + other))
    return fsum(shares) / len(shares) if shares else None


def _net(price: float, commission: float) -> float:
    return 1 + (price - 1) * (1 - commission)
