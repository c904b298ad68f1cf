"""How a run has ended: by the outcome of its last job, or of the first of a chain that did not succeed."""

from __future__ import annotations

from datetime import datetime

from msgspec.structs import replace

from ledger.contracts.job_state import JobState
from ledger.contracts.schedules import RunState, ScheduleRun
from ledger.jobs.outcome_reader import OutcomeReader
from ledger.jobs.outcome_records import UnreadableOutcomeError

_WITHOUT_REPORT: dict[JobState, RunState] = {
    JobState.FAILED: "failed",
    JobState.EXPIRED: "expired",
    JobState.CANCELLED: "cancelled",
}


def read_ended_run(outcomes: OutcomeReader, run: ScheduleRun, now: datetime) -> ScheduleRun | None:
    """Return a submitted run as it has ended; None if its last job goes on. Raises LedgerUnavailableError."""
    last = outcomes.status(run.job_ids[-1])
    if last.state in (JobState.FORGOTTEN, JobState.UNKNOWN):
        return replace(run, state="forgotten", ended_at=now)
    if not last.state.final:
        return None
    if last.state is JobState.SUCCEEDED:
        return replace(run, state="succeeded", ended_at=now)
    culprit = next((status for status in map(outcomes.status, run.job_ids) if status.state in _WITHOUT_REPORT), last)
    run = replace(run, state=_WITHOUT_REPORT.get(culprit.state, "failed"), ended_at=now)
    try:
        outcome = outcomes.outcome(culprit.job_id)
    except UnreadableOutcomeError as error:
        return replace(run, message=str(error))
    if outcome is None or outcome.failure is None:
        return run
    return replace(run, code=outcome.failure.code.value, message=f"{culprit.kind}: {outcome.failure.message}")
