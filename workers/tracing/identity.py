"""Ids of spans, computed from the job and the fence of the claim.

So a child can name its attempt as the parent of what it submits, the next attempt can link to one that another pool
lost, and the main process can make the span of a child that was killed before it could report anything.
"""

from __future__ import annotations

import hashlib

from ledger.contracts.trace_context import TraceContext


def attempt_span_id(job_id: str, fence: int) -> str:
    """Return the id of the span of an attempt."""
    return _digest(f"attempt {fence} {job_id}", 16)


def waiting_span_id(job_id: str, fence: int) -> str:
    """Return the id of the span of the wait before an attempt."""
    return _digest(f"waiting {fence} {job_id}", 16)


def settling_span_id(job_id: str, fence: int) -> str:
    """Return the id of the span of the settlement of an attempt."""
    return _digest(f"settling {fence} {job_id}", 16)


def own_trace(name: str, submitted_ms: float) -> TraceContext:
    """Return the trace that begins with a submission: of a job, or of the jobs of a chain, by their name and time."""
    text = f"{submitted_ms:.0f} {name}"
    return TraceContext(_digest(f"trace {text}", 32), _digest(f"submission {text}", 16))


def _digest(text: str, characters: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:characters]
