"""The event pipe from the processes of a pool to its main process, created before they are forked.

Every published number lives in the main process. So a counter survives the child that counted, a gauge never outlives
its child, and no files are left to clean up. A message is shorter than PIPE_BUF, so it is written as a whole or not at
all, even if its process is killed meanwhile. A writer never waits: if the pipe is full, because the main process stands
still, the message is dropped, and the next one reports how many were dropped.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress

import msgspec
from msgspec import Struct

from ledger.contracts.reports import HealthCheck
from ledger.jobs.claims import Claim
from workers.tracing.events import AttemptBegan, AttemptFinished

_LENGTH = struct.Struct("=H")
_MAX_LENGTH = 2**16 - 1  # maximum of the length field; no message of this length is written
_PIPE_BYTES = 2**20  # some 8,000 messages
_READ_BYTES = 2**16
_MAX_TOGETHER = 200  # attempts in one event, which has to fit into one write
MAX_REASON_CHARACTERS = 300  # as in a job's history
_F_SETPIPE_SZ = getattr(fcntl, "F_SETPIPE_SZ", None)  # Linux


class CardMetrics(Struct, frozen=True, array_like=True):
    """Measurements of an answered card, without names and prices.

    Attributes
    ----------
    uncertainties
        Width of the interval whose lower bound decides, for each fight.
    widths
        Mean width by level, for the levels in `MEASURED_LEVELS` only.
    covered, uncovered
        Number of market probabilities inside and outside of the intervals, by level; the same levels.
    odds_age_seconds
        Age of the oldest quote when the card was claimed.
    """

    bets: int
    abstentions: dict[str, int]  # fights by reason; a fight may have several
    abstained: int
    failures: dict[str, int]  # fights without an answer, by code
    uncertainties: list[float]
    widths: dict[str, float]
    covered: dict[str, int]
    uncovered: dict[str, int]
    odds_age_seconds: float | None = None


class AttemptEnded(Struct, frozen=True, array_like=True, tag=True):
    """An attempt at a job has ended; the fields are those of the canonical log line.

    `exemplar` is the trace and the span of the attempt, if spans of it are sent.
    """

    kind: str
    outcome: str
    attempt: int
    queue_wait_seconds: float | None = None
    run_seconds: float | None = None
    card: CardMetrics | None = None
    exemplar: tuple[str, str] | None = None


class SmallAttemptsEnded(Struct, frozen=True, array_like=True, tag=True):
    """Some attempts with the same end, of which only their times are counted; the times are in the order of their ends.

    Counting an event takes as long as the handler of a small job.
    """

    kind: str
    outcome: str
    queue_wait_seconds: list[float]
    run_seconds: list[float]


def attempt_ended(claim: Claim, outcome: str, run_seconds: float, figures: CardMetrics | None) -> AttemptEnded:
    """Return the event for an attempt that a child has finished."""
    waited = claim.queue_wait
    waited_seconds = None if waited is None else waited.total_seconds()
    span = claim.span
    exemplar = None if span is None or not span.sampled else (span.trace_id, span.span_id)
    return AttemptEnded(claim.kind, outcome, claim.attempt, waited_seconds, run_seconds, figures, exemplar)


def together(attempts: Iterable[AttemptEnded]) -> list[AttemptEnded | SmallAttemptsEnded]:
    """Return the same attempts in fewer events."""
    events: list[AttemptEnded | SmallAttemptsEnded] = []
    open_groups: dict[tuple[str, str], SmallAttemptsEnded] = {}
    for attempt in attempts:
        waited_seconds, run_seconds = attempt.queue_wait_seconds, attempt.run_seconds
        if attempt.card or attempt.exemplar or waited_seconds is None or run_seconds is None:
            events.append(attempt)
            continue
        group = open_groups.get((attempt.kind, attempt.outcome))
        if group is None or len(group.run_seconds) == _MAX_TOGETHER:
            group = SmallAttemptsEnded(attempt.kind, attempt.outcome, [], [])
            open_groups[attempt.kind, attempt.outcome] = group
            events.append(group)
        group.queue_wait_seconds.append(waited_seconds)
        group.run_seconds.append(run_seconds)
    return events


def attempt_finished(
    claim: Claim,
    outcome: str,
    *,
    reason: str | None = None,
    model: str | None = None,
    settled: tuple[float, int] | tuple[()] = (),
) -> Iterator[AttemptFinished]:
    """Yield the event with which the span of an attempt ends now, if it has one.

    `settled`: when the settlement of its result began, on the monotonic clock, and of how many jobs it was.
    """
    if claim.span is not None and claim.span.sampled:
        yield AttemptFinished(
            claim.job_id,
            claim.fence,
            outcome,
            time.monotonic(),
            reason and reason[:MAX_REASON_CHARACTERS],
            model,
            *settled,
        )


class SelfTestResult(Struct, frozen=True, array_like=True, tag=True):
    """A child has tested whether it could answer a card."""

    checks: list[HealthCheck]
    model: str | None = None


class ChildKilled(Struct, frozen=True, array_like=True, tag=True):
    """The supervisor has killed a child."""

    reason: str


class ReapEvent(Struct, frozen=True, array_like=True, tag=True):
    """Counts from one reap of the ledger, as `ReapCounts`."""

    requeued: int
    lost: int
    expired: int


class JobLogged(Struct, frozen=True, array_like=True, tag=True):
    """A process has logged a line about a job (JSON)."""

    job_id: str
    line: bytes


class DroppedEvents(Struct, frozen=True, array_like=True, tag=True):
    """The number of messages that one process could not write because the pipe was full."""

    messages: int


Event = (
    AttemptEnded
    | SmallAttemptsEnded
    | SelfTestResult
    | ChildKilled
    | ReapEvent
    | JobLogged
    | DroppedEvents
    | AttemptBegan
    | AttemptFinished
)


class EventPipe:
    """The pipe. Any thread of any process of the pool may `send`; one thread of the main process receives."""

    def __init__(self) -> None:
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        if _F_SETPIPE_SZ is not None:
            with suppress(OSError):  # the user's limit for pipes is used up: the pipe keeps 64 KiB
                fcntl.fcntl(writer, _F_SETPIPE_SZ, _PIPE_BYTES)
        # As files, so that they are closed when the pool is collected.
        self._reader, self._writer = os.fdopen(reader, "rb", 0), os.fdopen(writer, "wb", 0)
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[Event] = msgspec.msgpack.Decoder(Event)
        self._dropped = 0
        self._rest = b""

    def send(self, *events: Event) -> None:
        """Send events to the main process, as few writes as possible, or drop them. Never waits, never raises."""
        if self._dropped and self._write(self._framed(DroppedEvents(self._dropped))):
            self._dropped = 0
        chunk, messages = b"", 0
        for event in events:
            message = self._framed(event)
            if len(chunk) + len(message) > select.PIPE_BUF:
                self._send(chunk, messages)
                chunk, messages = b"", 0
            chunk += message
            messages += 1
        self._send(chunk, messages)

    def receive(self, within_seconds: float | None) -> list[Event]:
        """Return the events that have arrived, waiting at most `within_seconds` for the first; None: for ever."""
        if not select.select([self._reader], [], [], within_seconds)[0]:
            return []
        received = self._rest + os.read(self._reader.fileno(), _READ_BYTES)
        events, at = [], 0
        while at + _LENGTH.size <= len(received):
            start = at + _LENGTH.size
            end = start + _LENGTH.unpack_from(received, at)[0]
            if end > len(received):
                break
            events.append(self._decoder.decode(received[start:end]))
            at = end
        self._rest = received[at:]
        return events

    @property
    def is_empty(self) -> bool:
        """True if no event waits to be received."""
        return not select.select([self._reader], [], [], 0)[0]

    def _framed(self, event: Event) -> bytes:
        message = self._encoder.encode(event)
        return _LENGTH.pack(min(len(message), _MAX_LENGTH)) + message

    def _send(self, chunk: bytes, messages: int) -> None:
        if messages and not self._write(chunk):
            self._dropped += messages

    def _write(self, chunk: bytes) -> bool:
        if len(chunk) > select.PIPE_BUF:  # a single message that is too long for one write
            return False
        try:
            return os.write(self._writer.fileno(), chunk) > 0
        except OSError:  # the pipe is full, or its reader is gone
            return False
