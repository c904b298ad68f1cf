"""The target of a replay: the stored job that it recomputes."""

from __future__ import annotations

from ledger.contracts import codec
from ledger.contracts.failures import JobRefused, UnknownJob
from ledger.contracts.jobs import Job, Replay, Retrain
from ledger.ledger import KeptJob
from workers.jobs.context import JobContext


def kept_job(job_id: str, context: JobContext) -> KeptJob:
    """Return the stored record of a job. Raises JobRefused if the ledger no longer has it."""
    try:
        return context.ledger.job_records.get(job_id)
    except UnknownJob as error:
        raise codec.refuse(f"{error}: only a job with a stored outcome can be replayed") from error


def subject_of(job: Job, context: JobContext) -> Job:
    """Return the job that a replay recomputes, if its record can be read; any other job itself."""
    if not isinstance(job, Replay | Retrain):
        return job
    try:
        return codec.decode_job(kept_job(job.job_id, context).payload)
    except JobRefused:
        return job  # the handler of the replay will raise the error
