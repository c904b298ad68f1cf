"""Bookmakers' quotes of a fight, screened one by one: what is wrong with each that is not used."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

MIN_OVERROUND = 0.98
"""Quotes with a smaller overround are rejected: the bookmaker would lose to an arbitrage, so a price was misread."""
MAX_OVERROUND = 1.20
"""Quotes with a larger overround are rejected: the market is suspended, or a price was misread."""


class QuoteFault(StrEnum):
    """Reason for which a quote was rejected."""

    IMPOSSIBLE_PRICE = "impossible_price"
    OVERROUND_TOO_LOW = "overround_too_low"
    OVERROUND_TOO_HIGH = "overround_too_high"
    STALE = "stale"
    REPEATED_BOOKMAKER = "repeated_bookmaker"
    DATED_AHEAD = "dated_ahead"
    CONTRADICTS_OTHERS = "contradicts_others"
    SWITCHED_FIGHTERS = "switched_fighters"


UNUSED_QUOTE_FAULTS = frozenset(
    {QuoteFault.STALE, QuoteFault.DATED_AHEAD, QuoteFault.CONTRADICTS_OTHERS, QuoteFault.SWITCHED_FIGHTERS}
)
"""Faults of well-formed quotes that are too old, dated ahead, or in contradiction to the other bookmakers."""


class NoMarketReason(StrEnum):
    """Reason for which there is no market for a fight."""

    NO_QUOTES = "no_quotes"
    STALE_QUOTES = "stale_quotes"
    INVALID_QUOTES = "invalid_quotes"


@dataclass(frozen=True, slots=True)
class BookmakerQuote:
    """One bookmaker's decimal prices of the first and the second fighter.

    Attributes
    ----------
    prices
        The prices, before commission.
    as_of
        When the prices were read; None if unknown.
    commission
        Share of net winnings that an exchange keeps.
    """

    bookmaker: str
    prices: tuple[float, float]
    as_of: datetime | None = None
    commission: float = 0.0


@dataclass(frozen=True, slots=True)
class RejectedQuote:
    """A quote that is not used, and the reason."""

    quote: BookmakerQuote
    fault: QuoteFault

    def __str__(self) -> str:
        """Return the sentence for a report."""
        low, high = sorted(self.quote.prices)
        dated = self.fault in (QuoteFault.STALE, QuoteFault.DATED_AHEAD) and self.quote.as_of is not None
        moment = f" of {self.quote.as_of:%Y-%m-%d %H:%M:%S} UTC" if dated else ""
        return f"{self.quote.bookmaker}: {self.fault} (prices {low:g} and {high:g}{moment})"


@dataclass(frozen=True, slots=True)
class ScreenedQuotes:
    """Quotes sorted into usable and rejected ones, each in the order given."""

    valid: tuple[BookmakerQuote, ...]
    rejected: tuple[RejectedQuote, ...]

    @property
    def no_market_reason(self) -> NoMarketReason | None:
        """Reason for which there is no market; None if there is one."""
        if self.valid:
            return None
        if not self.rejected:
            return NoMarketReason.NO_QUOTES
        stale = any(item.fault is QuoteFault.STALE for item in self.rejected)
        return NoMarketReason.STALE_QUOTES if stale else NoMarketReason.INVALID_QUOTES


def screen_quotes(
    quotes: Sequence[BookmakerQuote], *, oldest: datetime | None = None, newest: datetime | None = None
) -> ScreenedQuotes:
    """Sort quotes into usable and rejected ones, each on its own, so that one bad feed does not spoil the others.

    A bookmaker counts once: its newest usable quote, or its first if the times do not decide.

    Parameters
    ----------
    quotes
        Quotes of one fight, all with the fighters in the same order.
    oldest
        Quotes read before this time are stale. If None, or for a quote without a time, not checked.
    newest
        Quotes read after this time are dated ahead; likewise.
    """
    held_by: dict[str, int] = {}
    faults: dict[int, QuoteFault] = {}
    for position, quote in enumerate(quotes):
        if fault := _fault(quote, oldest, newest):
            faults[position] = fault
            continue
        held = held_by.setdefault(quote.bookmaker, position)
        if held != position:
            newer = _is_newer(quote, quotes[held])
            held_by[quote.bookmaker] = position if newer else held
            faults[held if newer else position] = QuoteFault.REPEATED_BOOKMAKER
    return ScreenedQuotes(
        valid=tuple(quotes[position] for position in sorted(held_by.values())),
        rejected=tuple(RejectedQuote(quotes[position], fault) for position, fault in sorted(faults.items())),
    )


def _fault(quote: BookmakerQuote, oldest: datetime | None, newest: datetime | None) -> QuoteFault | None:
    if not all(math.isfinite(price) and price > 1.0 for price in quote.prices):
        return QuoteFault.IMPOSSIBLE_PRICE
    total = sum(1.0 / price for price in quote.prices)  # plain floats: much faster than arrays of two
    if total < MIN_OVERROUND:
        return QuoteFault.OVERROUND_TOO_LOW
    if total > MAX_OVERROUND:
        return QuoteFault.OVERROUND_TOO_HIGH
    if oldest is not None and quote.as_of is not None and quote.as_of < oldest:
        return QuoteFault.STALE
    if newest is not None and quote.as_of is not None and quote.as_of > newest:
        return QuoteFault.DATED_AHEAD
    return None


def _is_newer(quote: BookmakerQuote, held: BookmakerQuote) -> bool:
    if quote.as_of is None:
        return False
    return held.as_of is None or quote.as_of > held.as_of
