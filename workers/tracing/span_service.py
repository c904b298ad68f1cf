"""Making and sending of a pool's spans, in two threads of its main process.

One thread makes spans of the events of all processes, the other sends them. Between them, and before them, is a queue
of limited length: if the collector is slow or away, spans are dropped and counted, and nothing waits.

The library's own `BatchSpanProcessor` is not used: it starts a thread in every process that is forked after it, and
what it drops cannot be counted.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import msgspec
import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from ledger.contracts.failures import LedgerUnavailableError
from ledger.ledger import Ledger
from workers.tracing.events import AttemptBegan, AttemptFinished
from workers.tracing.job_spans import JobSpans
from workers.tracing.job_tracing import JobTracing
from workers.tracing.recorded_attempts import recorded_attempt

MAX_EVENTS = 20_000
REVIEW_SECONDS = 10.0
"""How often, and after what time, an attempt without an end is looked up in the ledger."""
MAX_REVIEWED, MAX_UNHEARD = 100, 1000
MAX_REMEMBERED = 1000
"""Of attempts whose spans are made: a child that stood still reports the end of one that its supervisor has ended."""
FLUSH_SECONDS = 3.0
"""How long the end of a pool waits for its last spans to be sent."""

Count = Callable[[str, int], None]
"""Counts spans by what became of them: `sent`, `not_sent` (the collector refused them or is away), `queue_full`."""


class SpanQueue(SpanProcessor):
    """Spans on their way to the collector; those beyond its length are dropped."""

    def __init__(self, exporter: SpanExporter, count: Count) -> None:
        self._exporter = exporter
        self._count = count
        self._max_spans = _number("OTEL_BSP_MAX_QUEUE_SIZE", 2048)
        self._batch = min(_number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512), self._max_spans)
        self._delay_seconds = _number("OTEL_BSP_SCHEDULE_DELAY", 5000) / 1000
        self._spans: deque[ReadableSpan] = deque()
        self._wanted = threading.Event()
        self._sending = False
        self._failing = False
        self._log = structlog.get_logger("cornerman")

    def on_end(self, span: ReadableSpan) -> None:
        """Add a span, or drop it."""
        if len(self._spans) >= self._max_spans:
            self._count("queue_full", 1)
            return
        self._spans.append(span)
        if len(self._spans) >= self._batch:
            self._wanted.set()

    @property
    def idle(self) -> bool:
        """True if all spans were sent or dropped."""
        return not self._spans and not self._sending

    def send_soon(self) -> None:
        """Let the next batch go out now."""
        self._wanted.set()

    def send(self) -> None:
        """Wait until a batch is due, and send it."""
        self._wanted.wait(self._delay_seconds)
        self._wanted.clear()
        while self._spans:
            self._sending = True
            batch = [self._spans.popleft() for _ in range(min(len(self._spans), self._batch))]
            result = SpanExportResult.FAILURE
            try:
                result = self._exporter.export(batch)
            finally:
                self._sending = False
                sent = result is SpanExportResult.SUCCESS
                self._count("sent" if sent else "not_sent", len(batch))
                self._report(sent)

    def _report(self, sent: bool) -> None:
        if sent == self._failing:
            self._failing = not sent
            if sent:
                self._log.info("spans are sent again")
            else:
                self._log.warning("spans not sent: the collector refused them or is away")


class SpanService:
    """The spans of one pool. `put` never waits; `make` and `send` are the bodies of two threads' loops."""

    def __init__(self, tracing: JobTracing, pool: str, open_ledger: Callable[[], Ledger], count: Count) -> None:
        self._tracing = tracing
        self._open_ledger = open_ledger
        self._ledger: Ledger | None = None
        self._count = count
        self._queue = SpanQueue(OTLPSpanExporter(), count)
        self._spans = JobSpans(tracing.resource.merge(Resource({"service.instance.id": pool})), self._queue)
        self._events: deque[AttemptBegan | AttemptFinished] = deque()
        self._arrived = threading.Event()
        self._making = False
        self._unheard: deque[AttemptFinished] = deque(maxlen=MAX_UNHEARD)
        self._open: dict[tuple[str, int], AttemptBegan] = {}
        self._made: deque[tuple[str, int]] = deque(maxlen=MAX_REMEMBERED)
        self._reviewed_seconds = time.monotonic()
        self.send = self._queue.send

    def put(self, event: AttemptBegan | AttemptFinished) -> None:
        """Pass on an event; beyond the limit its spans are dropped."""
        if len(self._events) >= MAX_EVENTS:
            self._count("queue_full", 1)
            return
        self._events.append(event)
        self._arrived.set()

    def make(self) -> None:
        """Make the spans of the events that have come."""
        self._arrived.wait(1.0)
        self._arrived.clear()
        self._making = True
        try:
            while self._events:
                event = self._events.popleft()
                if isinstance(event, AttemptBegan):
                    self._spans.begin(event)
                    self._open[event.job_id, event.fence] = event
                else:
                    self._finish(event)
            if time.monotonic() - self._reviewed_seconds >= REVIEW_SECONDS:
                self._reviewed_seconds = time.monotonic()
                self._review()
        finally:
            self._making = False

    def flush(self, all_received: Callable[[], bool]) -> None:
        """Send what there is, for a limited time, once `all_received` says that no further events are on their way."""
        until_seconds = time.monotonic() + FLUSH_SECONDS
        while time.monotonic() < until_seconds:
            if all_received() and not self._events and not self._making:
                self._queue.send_soon()
                if self._queue.idle:
                    return
            time.sleep(0.02)

    def _finish(self, end: AttemptFinished) -> None:
        key = (end.job_id, end.fence)
        attempt = self._open.pop(key, None)
        if attempt is None:
            if key not in self._made and not self._look_up(*key, known=False):
                self._unheard.append(end)  # the ledger is away
            return
        ended_ms = attempt.claimed_ms
        if end.ended_seconds is not None and attempt.received_seconds is not None:
            ended_ms += 1000 * (end.ended_seconds - attempt.received_seconds)
        self._spans.finish(attempt, end, ended_ms)
        self._made.append(key)

    def _review(self) -> None:
        """Look up attempts that began a while ago: a child may have settled one and died before its report."""
        before_seconds = time.monotonic() - REVIEW_SECONDS
        old = [key for key, attempt in self._open.items() if (attempt.received_seconds or 0.0) < before_seconds]
        for key in old[:MAX_REVIEWED]:
            attempt = self._open.pop(key)
            if not self._look_up(*key, known=True):
                self._open[key] = attempt  # behind the others
        for _ in range(len(self._unheard)):
            self._finish(self._unheard.popleft())

    def _look_up(self, job_id: str, fence: int, *, known: bool) -> bool:
        """Make the spans of an attempt from the job's record; return False if it has not ended."""
        with suppress(LedgerUnavailableError):  # the supervisor logs this
            self._ledger = self._ledger or self._open_ledger()
            found = recorded_attempt(self._ledger, self._tracing, job_id, fence)
            if found is None:
                return True
            attempt, end, ended_ms = found
            if end is None:
                return False
            if not known:
                self._spans.begin(attempt)
            self._spans.finish(attempt, end, ended_ms)
            self._made.append((job_id, fence))
            return True
        return False


def _number(variable: str, default: int) -> int:
    """Return the value of a standard variable, its default if it is no positive number."""
    with suppress(msgspec.ValidationError, ValueError):
        return max(1, int(os.environ.get(variable, "") or default))
    return default
