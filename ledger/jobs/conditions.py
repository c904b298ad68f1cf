"""When an accepted job is queued, which earlier answers of a card it replaces, and the trace that it belongs to."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import TypedDict

import msgspec
from msgspec import Struct

from ledger.contracts import codec
from ledger.contracts.jobs import CHAMPION, DecisionRules, IntervalOptions, PredictCard
from ledger.jobs.active_trace import checked_trace

MAX_WAIT = timedelta(days=366)
"""How far ahead `not_before` may be: a later time is rather a mistake."""
_NO_OPTIONS = (CHAMPION, None, None, "power", IntervalOptions(), DecisionRules(), False)


class ChainConditions(TypedDict, total=False):
    """What `Chains.submit` takes besides the jobs: the conditions of the first one, and the trace of all."""

    not_before: datetime | None
    after: str | None
    traceparent: str | None
    tracestate: str | None


class SubmitConditions(ChainConditions, total=False):
    """What `Ledger.submit` and `Client.enqueue` take besides the job; each may be left out.

    not_before
        The job stays `waiting` until this time of the server's clock, up to 366 days ahead. Its deadline is later.
    after
        Id of a job that has to succeed first. If that job ends otherwise, this one fails as `predecessor_failed`.
        With `not_before` the job waits for both.
    supersede
        True: a card replaces the earlier jobs of the same card_id, model, options and caller. Those that wait or are
        queued end as cancelled, with the code `superseded`; those that run or have an outcome are marked with
        `superseded_by`. A card whose `priced_at` is before that of another one is refused as `superseded`.
    supersedes
        A card_id, or the id of a job, that the card replaces in the same way, too: the event's start moved, for
        example, which made another card_id of it. Implies `supersede`.
    traceparent, tracestate
        The trace that the job belongs to, as in the headers of these names (W3C Trace Context). By default that of the
        span that is active in the caller's OpenTelemetry context, if the program uses OpenTelemetry.
    """

    supersede: bool
    supersedes: str | None


class CheckedConditions(Struct, frozen=True):
    """Checked `SubmitConditions`, as submit.lua takes them; and the name of a chain, '' for none.

    `trace` is a trace context as a record has it (`TraceContext.stored`), '' for none.
    """

    not_before: int | str = ""
    after: str = ""
    supersede: bool = False
    supersedes: str = ""
    chain: str = ""
    trace: str = ""

    @property
    def waits_for(self) -> str:
        """What a job waits for: the time (ms) and the id of the job, '' for nothing."""
        return f"{self.not_before} {self.after}" if self.not_before != "" or self.after else ""

    @classmethod
    def from_options(cls, options: SubmitConditions) -> CheckedConditions:
        """Check the conditions of a submission. Raises JobRefusedError."""
        supersedes = options.get("supersedes") or ""
        return cls(
            not_before=_milliseconds(options.get("not_before")),
            after=options.get("after") or "",
            supersede=options.get("supersede", False) or bool(supersedes),
            supersedes=supersedes,
            trace=checked_trace(options.get("traceparent"), options.get("tracestate")),
        )


def _milliseconds(not_before: datetime | None) -> int | str:
    if not_before is None:
        return ""
    if not_before.tzinfo is None:
        raise codec.job_refused(f"not_before {not_before.isoformat()} has no time zone")
    if not_before - datetime.now(UTC) > MAX_WAIT:
        raise codec.job_refused(
            f"not_before {not_before.isoformat()} is more than {MAX_WAIT.days} days ahead: submit the job later"
        )
    return max(0, math.ceil(not_before.timestamp() * 1000))  # not a fraction too early


def reading_of(card: PredictCard) -> str:
    """Return what submit.lua compares of cards: when the prices were read (ms, '' if not stated), and what was asked.

    The second part is a digest of the model and the options, without the fights and their prices, the start of the
    event, and the deadline; '-' for the defaults.
    """
    priced = "" if card.priced_at is None else int(card.priced_at.timestamp() * 1000)
    options = (
        card.model,
        card.max_quote_age_seconds,
        card.quote_age_limit_seconds,
        card.devig_method,
        card.intervals,
        card.rules,
        card.contributions,
    )
    asked = "-" if options == _NO_OPTIONS else codec.content_digest(msgspec.json.encode(options))[:16]
    return f"{priced} {asked}"
