"""Trace context: which trace a job belongs to, and which span of it submitted the job.

References
----------
W3C, Trace Context, Level 2: https://www.w3.org/TR/trace-context-2/
"""

from __future__ import annotations

import re

from msgspec import Struct, structs

MAX_STATE_CHARACTERS = 512
"""Of a `tracestate`, which every participant has to pass on up to this length; a longer one is dropped."""
_SAMPLED, _RANDOM = 0x01, 0x02
_HEADER = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})(?P<span>[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)


class TraceContext(Struct, frozen=True):
    """A span of a trace.

    Attributes
    ----------
    trace_id, span_id
        32 and 16 lower-case hexadecimal digits, not all 0.
    flags
        1: the trace is sampled, so that its spans are sent; 2: its id is random.
    state
        The `tracestate` of the vendors that took part in the trace; '' for none.
    """

    trace_id: str
    span_id: str
    flags: int = _SAMPLED
    state: str = ""

    @property
    def sampled(self) -> bool:
        """True if the spans of this trace are to be sent."""
        return bool(self.flags & _SAMPLED)

    def with_sampling(self, sampled: bool) -> TraceContext:
        """Return the same context, sampled or not."""
        return structs.replace(self, flags=self.flags | _SAMPLED if sampled else self.flags & ~_SAMPLED)

    @property
    def traceparent(self) -> str:
        """The context as a header, of version 00."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"

    @property
    def stored(self) -> str:
        """The context as a record of a job has it: the `traceparent`, and after a space the `tracestate` if any."""
        return f"{self.traceparent} {self.state}" if self.state else self.traceparent

    @classmethod
    def from_headers(cls, traceparent: str, tracestate: str | None = None) -> TraceContext | None:
        """Return the context of two headers; None if the first is invalid, as one from any client may be."""
        found = _HEADER.fullmatch(traceparent.strip())
        if found is None or (found["version"] == "00" and found["more"]):
            return None
        state = (tracestate or "").strip()
        if len(state) > MAX_STATE_CHARACTERS or not (state.isascii() and state.isprintable()):
            state = ""
        return cls(found["trace"], found["span"], int(found["flags"], 16) & (_SAMPLED | _RANDOM), state)

    @classmethod
    def from_stored(cls, text: str) -> TraceContext | None:
        """Return the context that a record has; None if it has none."""
        traceparent, _, tracestate = text.partition(" ")
        return cls.from_headers(traceparent, tracestate)
