"""The closing price that a fight log gets from kept quotes: the consensus of the bookmakers, without their margins.

It is what an answer calls the market. The best prices would be those of the bookmakers that erred most, and could make
both sides a sure profit; one bookmaker's price would carry its margin, and be missing when that one has no quote.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.errors import ValidationError
from engine.market.consensus import consensus, reject_contradicting
from engine.market.quotes import BookmakerQuote, screen_quotes
from ledger.contracts.jobs import Quote


def fair_close(quotes: Sequence[Quote]) -> dict[str, float] | None:
    """Return the decimal price of each fighter, 1 / probability; None without a usable quote of both."""
    names = sorted({name for quote in quotes for name in quote.prices})
    if len(names) != 2:
        return None
    pairs = [
        BookmakerQuote(quote.bookmaker, (quote.prices[names[0]], quote.prices[names[1]]), None, quote.commission)
        for quote in quotes
        if len(quote.prices) == 2
    ]
    try:
        usable = reject_contradicting(screen_quotes(pairs)).valid
        if not usable:
            return None
        first, second = consensus(usable).probabilities
    except ValidationError:
        return None
    return {names[0]: round(1.0 / first, 6), names[1]: round(1.0 / second, 6)}
