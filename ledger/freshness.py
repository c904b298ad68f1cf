"""How old the prices on a card are, for callers who set `max_quote_age_seconds`.

The oldest quote decides for the whole card. It is looked at twice, both times by the server's clock: at submit, and as
of the moment of the claim when a worker starts, so that the answer depends on the claim and not on the worker's speed.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from ledger.failures import Failure, FailureCode
from ledger.jobs import Fight, Job, PredictCard, Quote


def fresh_until(job: Job) -> datetime | None:
    """Return when the oldest quote of a card becomes too old; None where no age is set or nothing is quoted."""
    if not isinstance(job, PredictCard) or job.max_quote_age_seconds is None or not (quoted := _quoted(job)):
        return None
    return quoted[0][0] + timedelta(seconds=job.max_quote_age_seconds)


def stale_odds(card: PredictCard, now: datetime) -> Failure:
    """Return the failure of a card whose oldest quote is too old; it names the fight, the bookmaker and the age."""
    as_of, fight, quote = _quoted(card)[0]
    age_seconds = (now - as_of).total_seconds()
    return Failure(
        code=FailureCode.STALE_ODDS,
        message=f"fight {fight.id!r}: the prices of {quote.bookmaker} are {age_seconds:.1f} s old, the limit is "
        f"{card.max_quote_age_seconds:g} s: read them anew and submit that card",
        details={
            "fight": fight.id,
            "bookmaker": quote.bookmaker,
            "age_seconds": age_seconds,
            "max_quote_age_seconds": card.max_quote_age_seconds,
        },
    )


def _quoted(card: PredictCard) -> list[tuple[datetime, Fight, Quote]]:
    """List the quotes that say when they were read, the oldest first."""
    quoted = [(quote.as_of, fight, quote) for fight in card.fights for quote in fight.quotes if quote.as_of is not None]
    return sorted(quoted, key=lambda entry: entry[0])
