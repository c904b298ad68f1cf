"""The trace context of a submission: the caller's own, or that of its active OpenTelemetry span."""

from __future__ import annotations

import sys
from contextlib import suppress

from ledger.contracts import codec
from ledger.contracts.trace_context import TraceContext


def checked_trace(traceparent: str | None, tracestate: str | None = None) -> str:
    """Return the trace context of a submission as a record has it, '' for none.

    By default it is that of the span that is active in the caller's OpenTelemetry context. OpenTelemetry is never
    imported here: a program that has not imported it has no active span. Raises JobRefusedError for a `traceparent`
    that is none.
    """
    if traceparent is None:
        return _active_trace() if _API in sys.modules else ""
    context = TraceContext.from_headers(traceparent, tracestate)
    if context is None:
        raise codec.job_refused(
            f"`traceparent` {traceparent[:80]!r} is none: it is 00-<32 hexadecimal digits of the trace>-<16 of the "
            "span>-<2 of flags>, as the W3C's Trace Context has it"
        )
    return context.stored


_API = "opentelemetry.trace"


def _active_trace() -> str:
    with suppress(Exception):  # another library's state must not cost a job
        span = sys.modules[_API].get_current_span().get_span_context()
        if span.is_valid:
            flags = int(span.trace_flags) & 0x03
            header = f"00-{span.trace_id:032x}-{span.span_id:016x}-{flags:02x}"
            context = TraceContext.from_headers(header, span.trace_state.to_header())
            return "" if context is None else context.stored
    return ""
