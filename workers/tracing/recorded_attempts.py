"""Attempts whose start or end no process of this pool has reported, from the record of the job."""

from __future__ import annotations

from ledger.contracts.failures import UnknownJobError
from ledger.contracts.job_state import JobState
from ledger.contracts.trace_context import TraceContext
from ledger.jobs.job_history import JobEvent, JobEventKind
from ledger.ledger import Claim, Ledger
from workers.tracing.events import AttemptBegan, AttemptFinished
from workers.tracing.job_tracing import JobTracing, attempt_of

_OUTCOMES = {
    JobEventKind.RELEASED: "released",
    JobEventKind.SNOOZED: "parked",
    JobEventKind.WORKER_LOST: "requeued",
    JobEventKind.LEASE_EXPIRED: "requeued",
}


def recorded_attempt(
    ledger: Ledger, tracing: JobTracing, job_id: str, fence: int
) -> tuple[AttemptBegan, AttemptFinished | None, float] | None:
    """Return how an attempt began and ended, and when it ended (ms), as the job's record has it.

    None if the record is gone or its trace is not sampled; no end if the job still runs under this claim. Raises
    LedgerUnavailableError.
    """
    try:
        history = ledger.job_histories.get(job_id)
    except UnknownJobError:
        return None
    trace, chain = ledger.server.execute("HMGET", ledger.server.key("job", job_id), "trace", "chain")
    events = history.events[1:]  # the first is the submission
    claimed = next(
        (place for place, event in enumerate(events) if (event.event, event.fence) == (JobEventKind.CLAIMED, fence)),
        None,
    )
    if claimed is None:
        return None
    start = events[claimed]
    job = history.job
    claim = Claim(
        job_id=job_id,
        kind=job.kind,
        payload=b"",
        attempt=start.attempt or 0,
        fence=fence,
        queue=job.queue,
        time_limit_seconds=0.0,
        submitted_at=job.submitted_at,
        claimed_at=start.at,
        deadline=None,
        correlation_id=job.correlation_id,
        caller=job.caller,
        trace=TraceContext.from_stored(trace.decode()) if trace else None,
        chain=chain.decode() if chain else None,
    )
    span, began = attempt_of(claim, events[:claimed], start.worker or "", None)
    if not tracing.is_sampled(claim.trace, span.trace_id):
        return None
    ends = [event for event in events[claimed + 1 :] if event.fence == fence and event.event in _OUTCOMES]
    # A job that ends with a lost attempt has both: how the attempt was lost, and the outcome.
    final = events[-1] if JobState(job.state).final and _is_last_claim(events, fence) else None
    end = final or (ends[0] if ends else None)
    if end is None:
        return began, None, began.claimed_ms
    outcome = _final_outcome(end) if final is not None else _OUTCOMES[end.event]
    return began, AttemptFinished(job_id, fence, outcome, reason=end.reason), end.at.timestamp() * 1000


def _is_last_claim(events: list[JobEvent], fence: int) -> bool:
    return [event.fence for event in events if event.event is JobEventKind.CLAIMED][-1] == fence


def _final_outcome(end: JobEvent) -> str:
    return end.event.value if end.event is JobEventKind.SUCCEEDED else (end.reason or end.event.value).partition(":")[0]
