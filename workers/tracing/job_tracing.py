"""Tracing of the jobs of one pool: whether it is switched on, and which attempts are sampled.

OpenTelemetry is imported only if the environment asks for spans, and before the children are forked.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec
import structlog

from ledger.contracts.trace_context import TraceContext
from ledger.jobs.job_history import JobEvent, JobEventKind, claims_in
from ledger.ledger import Claim
from workers.tracing.events import AttemptBegan
from workers.tracing.identity import attempt_span_id, own_trace

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace.sampling import Sampler

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
SERVICE = "cornerman"
_PROTOCOL = "http/protobuf"
MAX_TEXT_CHARACTERS = 200
"""Of a text of a caller in an attribute: an event has to fit into one write to the pipe."""


@dataclass(frozen=True)
class JobTracing:
    """Tracing of one pool, shared by its processes."""

    sampler: Sampler
    resource: Resource

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> JobTracing | None:
        """Return the tracing that the standard variables of OpenTelemetry ask for; None if it is off.

        A pool works without spans, so what keeps it from sending them is logged, and no error.
        """
        if not is_requested(environment):
            return None
        obstacle = _obstacle(environment)
        if obstacle is None:
            try:
                return cls._imported()
            except ImportError as missing:
                obstacle = f"{missing}: install cornerman[tracing]"
        structlog.get_logger("cornerman").error("no spans are sent", reason=obstacle)
        return None

    @classmethod
    def _imported(cls) -> JobTracing:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter  # noqa: F401 - before the children are forked
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider

        provider = TracerProvider(shutdown_on_exit=False)  # reads the standard variables
        resource = provider.resource
        if str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: SERVICE}))
        return cls(provider.sampler, resource)

    def begin(self, claims: Iterable[Claim], worker: str) -> tuple[list[Claim], list[AttemptBegan]]:
        """Return claims with the spans of their attempts, and the events of those that are sampled."""
        received_seconds = time.monotonic()
        begun, events = [], []
        for claim in claims:
            _, before = claims_in(claim.history.decode(errors="replace"))
            span, event = attempt_of(claim, before, worker, received_seconds)
            sampled = self.is_sampled(claim.trace, span.trace_id)
            if sampled:
                events.append(event)
            # The flag is for what the attempt submits: it is sampled if the attempt is.
            begun.append(msgspec.structs.replace(claim, span=span.with_sampling(sampled)))
        return begun, events

    def is_sampled(self, parent: TraceContext | None, trace_id: str) -> bool:
        """Return True if the spans of a job in this trace are to be sent; `parent` submitted it, None: it begins."""
        from opentelemetry.context import Context
        from opentelemetry.sdk.trace.sampling import Decision
        from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

        context = Context()
        if parent is not None:
            flags = TraceFlags(parent.flags)
            remote = SpanContext(int(parent.trace_id, 16), int(parent.span_id, 16), True, flags)
            context = set_span_in_context(NonRecordingSpan(remote), context)
        return self.sampler.should_sample(context, int(trace_id, 16), "process").decision is Decision.RECORD_AND_SAMPLE


def is_requested(environment: Mapping[str, str]) -> bool:
    """Return True if the standard variables of OpenTelemetry ask for spans by OTLP."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if environment.get("OTEL_TRACES_EXPORTER", "").strip().lower() not in ("", "otlp"):
        return False
    return any(environment.get(name, "").strip() for name in ENDPOINTS)


def _obstacle(environment: Mapping[str, str]) -> str | None:
    name = next(name for name in ENDPOINTS if environment.get(name, "").strip())
    if urlsplit(environment[name].strip()).scheme not in ("http", "https"):
        return f"{name} is no URL: write http://collector:4318"
    chosen = next((variable for variable in PROTOCOLS if environment.get(variable, "").strip()), None)
    if chosen is not None and environment[chosen].strip() != _PROTOCOL:
        return (
            f"{chosen} is {environment[chosen].strip()[:40]!r}: only {_PROTOCOL} is spoken, on port 4318 of collectors"
        )
    return None


def attempt_of(
    claim: Claim, before: Sequence[JobEvent], worker: str, received_seconds: float | None
) -> tuple[TraceContext, AttemptBegan]:
    """Return the span of the attempt that begins with a claim, and its event; `before` is the history before it."""
    previous = previous_claim(before)
    submitted_ms = claim.submitted_at.timestamp() * 1000
    number, _, chain = (claim.chain or "1/1 ").partition(" ")
    parent = claim.trace or own_trace(chain or claim.job_id, submitted_ms)
    span = msgspec.structs.replace(parent, span_id=attempt_span_id(claim.job_id, claim.fence))
    begins = claim.trace is None and previous is None and number.startswith("1/")
    waits_since = before[-1].at if before else claim.queued_at or claim.submitted_at
    return span, AttemptBegan(
        job_id=claim.job_id,
        fence=claim.fence,
        kind=claim.kind,
        queue=claim.queue,
        attempt=claim.attempt,
        worker=worker,
        span=span.stored,
        parent_id=parent.span_id,
        waits_since_ms=waits_since.timestamp() * 1000,
        claimed_ms=claim.claimed_at.timestamp() * 1000,
        received_seconds=received_seconds,
        begins_ms=submitted_ms if begins else None,
        previous_fence=previous,
        correlation_id=claim.correlation_id and claim.correlation_id[:MAX_TEXT_CHARACTERS],
        caller=claim.caller,
        chain=chain or None,
    )


def previous_claim(events: Sequence[JobEvent]) -> int | None:
    """Return the fence of the last claim that a worker received; None if there was none."""
    fences = [event.fence for event in events if event.event is JobEventKind.CLAIMED]
    unheard = {event.fence for event in events if event.event is JobEventKind.UNDELIVERED}
    return next((fence for fence in reversed(fences) if fence not in unheard), None)
