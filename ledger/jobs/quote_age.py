"""Age limits of the quotes on a card.

If a caller sets `max_quote_age_seconds`, the oldest quote decides for the whole card. It is checked twice on the
server's clock: at submit, and at the time of the claim when a worker starts, so that the answer depends on the claim
and not on the worker's speed.

On every card single quotes are left out if they are too old, or dated ahead. The limits depend on the job alone, so
that the same job always has the same answer.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from ledger.contracts.failures import Failure, FailureCode
from ledger.contracts.jobs import Fight, Job, PredictCard, Quote

MIN_AGE_LIMIT = timedelta(minutes=15)
MAX_AGE_LIMIT = timedelta(days=1)
AGE_LIMIT_SHARE = 1 / 4  # of the time to the event
CLOCK_TOLERANCE = timedelta(minutes=10)  # between a feed's clock and that of its reader


class QuoteWindow(NamedTuple):
    """Earliest and latest time of a card's quotes; None does not limit."""

    oldest: datetime | None
    newest: datetime

    def contains(self, quote: Quote) -> bool:
        """Return True if a quote may be used. An undated quote may."""
        if quote.as_of is None:
            return True
        return quote.as_of <= self.newest and (self.oldest is None or quote.as_of >= self.oldest)


def quote_window(card: PredictCard) -> QuoteWindow:
    """Return the times between which a quote must be dated to be used for this card."""
    if card.priced_at is not None:
        read_at: datetime | None = card.priced_at
        newest = _moved(card.priced_at, CLOCK_TOLERANCE)
    else:
        newest = card.event_start if card.deadline is None else max(card.event_start, card.deadline)
        dated = [as_of for as_of, _, _ in _quoted(card) if as_of <= newest]
        read_at = dated[-1] if dated else None
    return QuoteWindow(None if read_at is None else _moved(read_at, -age_limit(card, read_at)), newest)


def _moved(moment: datetime, by: timedelta) -> datetime:
    """Return a time plus a difference; the time itself at the ends of the calendar."""
    try:
        return moment + by
    except OverflowError:
        return moment


def age_limit(card: PredictCard, read_at: datetime) -> timedelta:
    """Return how old the quotes of a card may be that was read at a time."""
    if card.quote_age_limit_seconds is not None:
        return timedelta(seconds=card.quote_age_limit_seconds)
    return min(max((card.event_start - read_at) * AGE_LIMIT_SHARE, MIN_AGE_LIMIT), MAX_AGE_LIMIT)


def fresh_until(job: Job) -> datetime | None:
    """Return when the oldest quote of a card becomes too old; None without an age limit or without quotes."""
    if not isinstance(job, PredictCard) or job.max_quote_age_seconds is None or not (quoted := _quoted(job)):
        return None
    return quoted[0][0] + timedelta(seconds=job.max_quote_age_seconds)


def stale_odds_failure(card: PredictCard, now: datetime) -> Failure:
    """Return the failure of a card whose oldest quote is too old; it names the fight, the bookmaker and the age."""
    as_of, fight, quote = _quoted(card)[0]
    age_seconds = (now - as_of).total_seconds()
    return Failure(
        code=FailureCode.STALE_ODDS,
        message=f"fight {fight.id!r}: the prices of {quote.bookmaker} are {age_seconds:.1f} s old, the limit is "
        f"{card.max_quote_age_seconds:g} s: read the prices again and submit that card",
        details={
            "fight": fight.id,
            "bookmaker": quote.bookmaker,
            "age_seconds": age_seconds,
            "max_quote_age_seconds": card.max_quote_age_seconds,
        },
    )


def _quoted(card: PredictCard) -> list[tuple[datetime, Fight, Quote]]:
    """Return the dated quotes, oldest first."""
    quoted = [(quote.as_of, fight, quote) for fight in card.fights for quote in fight.quotes if quote.as_of is not None]
    return sorted(quoted, key=lambda entry: entry[0])
