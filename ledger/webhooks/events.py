"""The events of webhooks: which outcomes match a webhook, and the body that is posted.

A body is made of the stored bytes of an outcome. So it is the same at every attempt, and an outcome of a newer version
is delivered by a relay that cannot read it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Literal

import msgspec
from msgspec import Raw, Struct

from ledger.archive.records import with_archived
from ledger.compression.stored_values import decompress
from ledger.contracts.lazy_decoder import LazyDecoder, decode
from ledger.contracts.trace_context import TraceContext
from ledger.contracts.webhooks import (
    MissedEvent,
    MissedOutcomes,
    TestEvent,
    WebhookDefinition,
)
from ledger.server.server import Server, to_datetime

HIDDEN_KINDS = frozenset({"check_health"})
"""Kinds that a webhook receives only if its filter names them."""
CARD_KIND = "predict_card"

_FIELDS = (
    "state",
    "kind",
    "attempt",
    "submitted",
    "settled",
    "report",
    "failure",
    "correlation",
    "origin",
    "caller",
    "card",
    "trace",
)
_JOB, _MISSED, _TEST = "j", "m", "t"


class StoredOutcome(Struct, frozen=True, kw_only=True):
    """What filters look at. `decision` is `bet` if a card has at least one bet, None if it has no answer."""

    job_id: str
    kind: str
    state: str
    settled_ms: int
    card_id: str | None
    decision: Literal["bet", "abstain"] | None

    @property
    def key(self) -> str:
        """The ordering key: deliveries of one card come one after the other; other jobs stand for themselves."""
        return ordering_key(f"card {self.card_id}" if self.card_id is not None else f"job {self.job_id}")


class Message(Struct, frozen=True, kw_only=True):
    """One event as it is posted. `message_id` is the header `webhook-id`, `trace` the trace of the job."""

    message_id: str
    type: str
    body: bytes
    job_id: str | None = None
    card_id: str | None = None
    trace: TraceContext | None = None

    @property
    def trace_headers(self) -> dict[str, str]:
        """The headers that name the trace, for the spans of the receiver; none if the job has no trace."""
        if self.trace is None:
            return {}
        return {"traceparent": self.trace.traceparent} | ({"tracestate": self.trace.state} if self.trace.state else {})


class _Outcome(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`Outcome` with the stored JSON of its parts, in the same order."""

    job_id: str
    kind: str
    state: str
    attempt: int
    submitted_at: datetime
    settled_at: datetime
    report: Raw | None = None
    failure: Raw | None = None
    correlation_id: str | None = None
    origin: Raw | None = None
    caller: str | None = None


class _Event(Struct, frozen=True, kw_only=True, omit_defaults=True):
    type: str
    timestamp: datetime
    data: _Outcome
    card_id: str | None = None


class _Decision(Struct):
    action: str = ""


class _Fight(Struct):
    decision: _Decision | None = None


class _CardReport(Struct):
    fights: list[_Fight] = []


_report_decoder: LazyDecoder[_CardReport] = LazyDecoder(_CardReport)


def ordering_key(text: str) -> str:
    """Return the ordering key of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def matches(webhook: WebhookDefinition, outcome: StoredOutcome) -> bool:
    """Return True if an outcome passes every filter of a webhook."""
    if outcome.kind not in webhook.kinds if webhook.kinds else outcome.kind in HIDDEN_KINDS:
        return False
    if webhook.states and outcome.state not in webhook.states:
        return False
    if webhook.decision is not None and outcome.decision != webhook.decision:
        return False
    card = outcome.card_id
    return not webhook.cards or (card is not None and any(matches_pattern(pattern, card) for pattern in webhook.cards))


def matches_pattern(pattern: str, text: str) -> bool:
    """Return True if a text matches a pattern, in which `*` stands for any characters, also none."""
    first, *others = pattern.split("*")
    if not others:
        return text == pattern
    *middle, last = others
    if not text.startswith(first) or not text.endswith(last) or len(text) < len(first) + len(last):
        return False
    place, end = len(first), len(text) - len(last)
    for part in middle:
        place = text.find(part, place, end)
        if place < 0:
            return False
        place += len(part)
    return True


def stored_outcomes(server: Server, job_ids: Sequence[str]) -> list[StoredOutcome | None]:
    """Return what filters look at, for each job; None if its record is gone. Raises JobArchivedError."""
    records = server.transaction(*(("HMGET", server.key("job", job_id), *_FIELDS) for job_id in job_ids))
    records = server.run(with_archived(server, job_ids, _FIELDS, records))
    return [_stored(job_id, _decoded(record)) for job_id, record in zip(job_ids, records, strict=True)]


def event_of_job(job_id: str) -> str:
    """Return how a delivery names the outcome of a job."""
    return f"{_JOB}{job_id}"


def event_of_gap(gap: MissedOutcomes, settled_ms: int) -> str:
    """Return how a delivery names a gap in the stream."""
    return f"{_MISSED}{settled_ms} {msgspec.json.encode(gap).decode()}"


def event_of_test(nonce: str, settled_ms: int) -> str:
    """Return how a delivery names a test."""
    return f"{_TEST}{settled_ms} {nonce}"


def message_of(server: Server, webhook_id: str, event: str) -> Message | None:
    """Return what is posted for an event of a delivery, None if the outcome of the job is no longer stored.

    Raises JobArchivedError.
    """
    kind, rest = event[:1], event[1:]
    if kind == _JOB:
        return _outcome_message(server, rest)
    moment, _, text = rest.partition(" ")
    if kind == _TEST:
        test = TestEvent(type="webhook.test", timestamp=to_datetime(float(moment)), data={"webhook_id": webhook_id})
        return Message(message_id=test_message_id(text), type=test.type, body=msgspec.json.encode(test))
    gap = decode(text, MissedOutcomes)
    missed = MissedEvent(type="outcomes.missed", timestamp=to_datetime(float(moment)), data=gap)
    message_id = _message_id(server.settings.namespace, webhook_id, gap.after, gap.place)
    return Message(message_id=message_id, type=missed.type, body=msgspec.json.encode(missed))


def test_message_id(nonce: str) -> str:
    """Return the `webhook-id` of a test."""
    return f"msg_{nonce}"


def _outcome_message(server: Server, job_id: str) -> Message | None:
    read = server.execute("HMGET", server.key("job", job_id), *_FIELDS)
    record = _decoded(server.run(with_archived(server, [job_id], _FIELDS, [read]))[0])
    stored = _stored(job_id, record)
    if stored is None:
        return None
    state = record["state"].decode()
    settled = record["settled"]
    outcome = _Outcome(
        job_id=job_id,
        kind=stored.kind,
        state=state,
        attempt=int(record["attempt"]),
        submitted_at=to_datetime(record["submitted"]),
        settled_at=to_datetime(settled),
        report=_raw(decompress(record.get("report", b""))),
        failure=_raw(record.get("failure")),
        correlation_id=record["correlation"].decode() if record.get("correlation") else None,
        origin=_raw(decompress(record.get("origin", b""))),
        caller=record["caller"].decode() if record.get("caller") else None,
    )
    event = _Event(type=f"outcome.{state}", timestamp=outcome.settled_at, data=outcome, card_id=stored.card_id)
    return Message(
        message_id=_message_id(server.settings.namespace, job_id, settled.decode()),
        type=event.type,
        body=msgspec.json.encode(event),
        job_id=job_id,
        card_id=stored.card_id,
        trace=TraceContext.from_stored(record["trace"].decode()) if record.get("trace") else None,
    )


def _decoded(record: Sequence[bytes | None]) -> dict[str, bytes]:
    return {name: value for name, value in zip(_FIELDS, record, strict=True) if value is not None}


def _stored(job_id: str, record: Mapping[str, bytes]) -> StoredOutcome | None:
    if not {"state", "kind", "settled"} <= record.keys():
        return None
    kind = record["kind"].decode()
    card_id = record["card"].decode() if record.get("card") else None
    decision: Literal["bet", "abstain"] | None = None
    if kind == CARD_KIND and "report" in record:
        with suppress(msgspec.DecodeError, ValueError):  # a newer version may write what this one cannot read
            decision = _decision(decompress(record["report"]))
    return StoredOutcome(
        job_id=job_id,
        kind=kind,
        state=record["state"].decode(),
        settled_ms=int(float(record["settled"])),
        card_id=card_id,
        decision=decision,
    )


def _decision(report: bytes) -> Literal["bet", "abstain"]:
    fights = _report_decoder.decode(report).fights
    return (
        "bet" if any(fight.decision is not None and fight.decision.action == "bet" for fight in fights) else "abstain"
    )


def _raw(text: bytes | None) -> Raw | None:
    return Raw(text) if text else None


def _message_id(*parts: str) -> str:
    return f"msg_{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:32]}"
