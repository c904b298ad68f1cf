"""What the processes of a pool report about attempts at jobs of which spans are sent."""

from __future__ import annotations

from msgspec import Struct

LOST_OUTCOMES = ("requeued", "worker_lost")
"""Outcomes of attempts whose worker is gone."""


class AttemptBegan(Struct, frozen=True, array_like=True, tag=True):
    """A child has claimed a job.

    Attributes
    ----------
    span
        Trace context of the attempt's own span, as `TraceContext.stored`.
    parent_id
        Span that submitted the job; of a job without one, the span with which its own trace begins.
    waits_since_ms, claimed_ms
        The server's times since when the job waited for this claim, and of the claim.
    received_seconds
        When the child had the claim, on the monotonic clock of the machine; None if that is not known.
    begins_ms
        Of the first attempt of a job without a trace of its submission: when it was submitted, where its trace begins.
    previous_fence
        The claim of the attempt before; None at the first.
    """

    job_id: str
    fence: int
    kind: str
    queue: str
    attempt: int
    worker: str
    span: str
    parent_id: str
    waits_since_ms: float
    claimed_ms: float
    received_seconds: float | None = None
    begins_ms: float | None = None
    previous_fence: int | None = None
    correlation_id: str | None = None
    caller: str | None = None
    chain: str | None = None


class AttemptFinished(Struct, frozen=True, array_like=True, tag=True):
    """An attempt has ended, as its child or a supervisor found.

    Attributes
    ----------
    outcome
        As in the canonical log line.
    ended_seconds
        On the monotonic clock of the machine; None: the job's history has the time.
    settled_seconds
        When its settlement began, if it had a result to settle. It ended with the attempt.
    settled_jobs
        How many jobs were settled together.
    """

    job_id: str
    fence: int
    outcome: str
    ended_seconds: float | None = None
    reason: str | None = None
    model: str | None = None
    settled_seconds: float | None = None
    settled_jobs: int = 0
