"""The target of a replay: the stored job that it recomputes."""

from __future__ import annotations

from ledger.contracts import codec
from ledger.contracts.failures import JobRefusedError, UnknownJobError
from ledger.contracts.jobs import Job, Replay, ReproduceTraining
from ledger.ledger import JobRecord
from workers.jobs.context import JobContext


def load_job_record(job_id: str, context: JobContext) -> JobRecord:
    """Return the stored record of a job. Raises JobRefusedError if the ledger no longer has it."""
    try:
        return context.ledger.job_records.get(job_id)
    except UnknownJobError as error:
        raise codec.job_refused(f"{error}: only a job with a stored outcome can be replayed") from error


def resolve_replay_target(job: Job, context: JobContext) -> Job:
    """Return the job that a replay recomputes, if its record can be read; any other job itself."""
    if not isinstance(job, Replay | ReproduceTraining):
        return job
    try:
        return codec.decode_job(load_job_record(job.job_id, context).payload)
    except JobRefusedError:
        return job  # the handler of the replay will raise the error
