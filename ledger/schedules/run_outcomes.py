"""How a run has ended: by the outcome of its last job, or of the first of a chain that did not succeed."""

from __future__ import annotations

from datetime import datetime

from msgspec.structs import replace

from ledger.contracts.job_state import JobState
from ledger.contracts.schedules import ScheduleRun
from ledger.jobs.outcome_reader import OutcomeReader


def read_ended_run(outcomes: OutcomeReader, run: ScheduleRun, now: datetime) -> ScheduleRun | None:
    """Return a submitted run as it has ended; None if one of its jobs goes on. Raises LedgerUnavailableError."""
    for job_id in run.job_ids:
        status = outcomes.status(job_id)
        if status.state in (JobState.FORGOTTEN, JobState.UNKNOWN):
            return replace(run, state="forgotten", ended_at=now)
        if not status.state.final:
            return None
        if status.state is not JobState.SUCCEEDED:
            outcome = outcomes.outcome(job_id)
            failure = None if outcome is None else outcome.failure
            return replace(
                run,
                state=status.state.value,
                ended_at=now,
                code=None if failure is None else failure.code.value,
                message="" if failure is None else f"{status.kind}: {failure.message}",
            )
    return replace(run, state="succeeded", ended_at=now)
