"""The spans of attempts at jobs: made of events, with ids of our own and the times of the server's clock.

    the submitter's span
      create <queue>   of a job without a trace of its submission: where its own trace begins
      wait <queue>     from when it was queued to its claim
      process <queue>  from its claim to the end of the attempt; linked to the attempt before
        settle <queue> from the end of its handler until the ledger has the outcome

References
----------
OpenTelemetry, Semantic Conventions for Messaging Spans:
https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from ledger.contracts.trace_context import TraceContext
from workers.tracing.events import LOST_OUTCOMES, AttemptBegan, AttemptFinished
from workers.tracing.identity import attempt_span_id, settling_span_id, waiting_span_id

SYSTEM = "cornerman"
UNFAILED = ("succeeded", "released", "parked", "refused")

Attributes = Mapping[str, str | int | float]


class _GivenIds(IdGenerator):
    """Hands out the ids that were given last."""

    def __init__(self) -> None:
        self.trace_id, self.span_id = 0, 0

    def generate_trace_id(self) -> int:
        """Return the given id of the trace."""
        return self.trace_id

    def generate_span_id(self) -> int:
        """Return the given id of the span."""
        return self.span_id


class JobSpans:
    """Makes spans, and passes them to a processor. One thread uses it."""

    def __init__(self, resource: Resource, processor: SpanProcessor) -> None:
        self._ids = _GivenIds()
        provider = TracerProvider(  # sampled is what comes here
            sampler=ALWAYS_ON, resource=resource, id_generator=self._ids, shutdown_on_exit=False
        )
        provider.add_span_processor(processor)
        self._tracer = provider.get_tracer("cornerman", version("cornerman"))

    def begin(self, attempt: AttemptBegan) -> None:
        """Make the spans that have ended with a claim: the wait, and the submission where the trace begins."""
        trace = _trace_of(attempt)
        if attempt.begins_ms is not None:
            self._make(
                f"create {attempt.queue}",
                TraceContext(trace.trace_id, attempt.parent_id),
                None,
                SpanKind.PRODUCER,
                (attempt.begins_ms, attempt.begins_ms),
                {**_common(attempt), **_operation("create", "create")},
            )
        self._make(
            f"wait {attempt.queue}",
            TraceContext(trace.trace_id, waiting_span_id(attempt.job_id, attempt.fence), state=trace.state),
            attempt.parent_id,
            SpanKind.INTERNAL,
            (attempt.waits_since_ms, attempt.claimed_ms),
            {**_common(attempt), **_operation("wait"), "cornerman.job.attempt": attempt.attempt},
        )

    def finish(self, attempt: AttemptBegan, end: AttemptFinished, ended_ms: float) -> None:
        """Make the span of an attempt, and that of its settlement, if it had one."""
        trace = _trace_of(attempt)
        attributes: dict[str, str | int | float] = {
            **_common(attempt),
            **_operation("process", "process"),
            "cornerman.job.attempt": attempt.attempt,
            "cornerman.job.outcome": end.outcome,
        }
        if attempt.worker:
            attributes["messaging.client.id"] = attempt.worker
        if end.model:
            attributes["cornerman.model"] = end.model
        status = _status(end)
        if status.status_code is StatusCode.ERROR:
            attributes["error.type"] = "worker_lost" if end.outcome in LOST_OUTCOMES else end.outcome
        if end.reason:
            attributes["cornerman.job.reason"] = end.reason
        links = [] if attempt.previous_fence is None else [_link(attempt, trace, attempt.previous_fence)]
        self._make(
            f"process {attempt.queue}",
            trace,
            attempt.parent_id,
            SpanKind.CONSUMER,
            (attempt.claimed_ms, ended_ms),
            attributes,
            links=links,
            status=status,
        )
        if end.settled_seconds is not None and end.ended_seconds is not None:
            self._make(
                f"settle {attempt.queue}",
                TraceContext(trace.trace_id, settling_span_id(attempt.job_id, attempt.fence), state=trace.state),
                trace.span_id,
                SpanKind.CLIENT,
                (ended_ms - 1000 * (end.ended_seconds - end.settled_seconds), ended_ms),
                {
                    **_common(attempt),
                    **_operation("settle", "settle"),
                    "messaging.batch.message_count": end.settled_jobs,
                },
            )

    def _make(
        self,
        name: str,
        span: TraceContext,
        parent_id: str | None,
        kind: SpanKind,
        times_ms: tuple[float, float],
        attributes: Attributes,
        *,
        links: Sequence[Link] = (),
        status: Status | None = None,
    ) -> None:
        self._ids.trace_id, self._ids.span_id = int(span.trace_id, 16), int(span.span_id, 16)
        context = Context()
        if parent_id is not None:
            parent = TraceContext(span.trace_id, parent_id, state=span.state)
            context = set_span_in_context(NonRecordingSpan(_span_context(parent)), context)
        begin_ms, end_ms = times_ms
        made = self._tracer.start_span(
            name, context, kind, dict(attributes), links, round(begin_ms * 1e6), record_exception=False
        )
        if status is not None:
            made.set_status(status)
        made.end(round(max(begin_ms, end_ms) * 1e6))


def _trace_of(attempt: AttemptBegan) -> TraceContext:
    found = TraceContext.from_stored(attempt.span)
    if found is None:
        raise ValueError(f"{attempt.span!r} is no trace context")
    return found


def _span_context(span: TraceContext) -> SpanContext:
    state = TraceState.from_header([span.state]) if span.state else None
    return SpanContext(int(span.trace_id, 16), int(span.span_id, 16), True, TraceFlags(TraceFlags.SAMPLED), state)


def _link(attempt: AttemptBegan, trace: TraceContext, fence: int) -> Link:
    previous = TraceContext(trace.trace_id, attempt_span_id(attempt.job_id, fence), state=trace.state)
    return Link(_span_context(previous), {"cornerman.link": "previous attempt"})


def _common(attempt: AttemptBegan) -> dict[str, str | int | float]:
    given = {
        "messaging.system": SYSTEM,
        "messaging.destination.name": attempt.queue,
        "messaging.message.id": attempt.job_id,
        "messaging.message.conversation_id": attempt.correlation_id,
        "cornerman.job.kind": attempt.kind,
        "cornerman.caller": attempt.caller,
        "cornerman.chain": attempt.chain,
    }
    return {name: value for name, value in given.items() if value is not None}


def _operation(name: str, kind: str | None = None) -> dict[str, str]:
    """Return the attributes of an operation; the conventions have no type for a wait."""
    return {"messaging.operation.name": name} | ({} if kind is None else {"messaging.operation.type": kind})


def _status(end: AttemptFinished) -> Status:
    if end.outcome in UNFAILED:
        return Status(StatusCode.UNSET)
    return Status(StatusCode.ERROR, end.reason or end.outcome)
