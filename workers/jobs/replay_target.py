"""Which work a job is about: a replay's is that of the job which it replays."""

from __future__ import annotations

from ledger.contracts import codec
from ledger.contracts.failures import JobRefused, UnknownJob
from ledger.contracts.jobs import Job, Replay, Retrain
from ledger.ledger import KeptJob
from workers.jobs.context import JobContext


def kept_job(job_id: str, context: JobContext) -> KeptJob:
    """Return the job that is to be replayed. Raises JobRefused where the ledger does not hold it."""
    try:
        return context.ledger.job_records.get(job_id)
    except UnknownJob as error:
        raise codec.refuse(f"{error}: only a job whose outcome is kept can be replayed") from error


def subject_of(job: Job, context: JobContext) -> Job:
    """Return the job whose work is done: for a replay the one that is replayed, if that can be read."""
    if not isinstance(job, Replay | Retrain):
        return job
    try:
        return codec.decode_job(kept_job(job.job_id, context).payload)
    except JobRefused:
        return job  # its handler will say what is wrong
