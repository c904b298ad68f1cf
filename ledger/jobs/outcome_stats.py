"""Statistics of recent outcomes, read from the stream of outcomes."""

from __future__ import annotations

from collections import Counter

import msgspec
from msgspec import Struct

from ledger.contracts.job_state import JobState
from ledger.server.server import Server

MAX_OUTCOMES = 1_000


class RecentOutcomes(Struct, frozen=True):
    """Outcomes of the last `span_seconds`: number, rate a minute, and number of each kind of end.

    `ends` counts `succeeded` and the failure codes. Only the last MAX_OUTCOMES are counted: in a busy ledger the span
    is shorter than requested.
    """

    outcomes: int
    span_seconds: float
    per_minute: float
    ends: dict[str, int]


class _Code(Struct, frozen=True):
    code: str


_code_decoder = msgspec.json.Decoder(_Code)


class OutcomeStats:
    """Statistics of recent outcomes."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def recent(self, span_seconds: float = 300.0) -> RecentOutcomes:
        """Count recent outcomes, in two round trips."""
        (seconds, microseconds), newest = self._server.transaction(
            ("TIME",), ("XREVRANGE", self._server.key("outcomes"), "+", "-", "COUNT", MAX_OUTCOMES)
        )
        now_ms = int(seconds) * 1000 + int(microseconds) // 1000
        ages = [(now_ms - int(place.partition(b"-")[0])) / 1000 for place, _ in newest]
        within = [entry[b"job"].decode() for age, (_, entry) in zip(ages, newest, strict=True) if age <= span_seconds]
        span = max(ages[-1], 0.001) if len(within) == MAX_OUTCOMES else span_seconds
        records = (
            self._server.transaction(*(("HMGET", self._server.key("job", job), "state", "failure") for job in within))
            if within
            else []
        )
        ends = Counter(_end_of(failure) for state, failure in records if state is not None)
        return RecentOutcomes(len(within), span, 60.0 * len(within) / span, dict(ends.most_common()))


def _end_of(failure: bytes | None) -> str:
    return JobState.SUCCEEDED.value if failure is None else _code_decoder.decode(failure).code
