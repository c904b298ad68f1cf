"""Replays: the job that computes an outcome again and compares it with the stored one."""

from __future__ import annotations

from ledger.contracts.codec import job_refused
from ledger.contracts.failures import JobArchivedError, LedgerError
from ledger.contracts.job_state import JobState, JobStatus
from ledger.contracts.jobs import ROUTES, Replay, ReproduceTraining
from producer.client import existing_status


def replay_job(status: JobStatus, *, retrain: bool, nonce: str) -> Replay | ReproduceTraining:
    """Return the job that replays another.

    Parameters
    ----------
    status
        Status of the job to replay.
    retrain
        Allow the replay of a training or a backtest, which takes as long as it did.
    nonce
        Makes each replay a new job, so that no stored comparison is shown.

    Raises
    ------
    UnknownJobError
        The ledger does not hold the job.
    JobArchivedError
        The job is archived, and the archive cannot be read from here.
    LedgerError
        The job has no outcome yet.
    JobRefusedError
        It takes long to recompute, and `retrain` is not set.
    """
    job_id = existing_status(status).job_id
    if status.state is JobState.ARCHIVED:
        raise JobArchivedError(job_id, status.archive or "", f"cornerman result {job_id} says why it cannot be read")
    if not status.state.final:
        raise LedgerError(f"job {job_id} is {status.state}: wait for its outcome (cornerman result {job_id})")
    if ROUTES[status.kind or ""].queue != "train":
        return Replay(job_id=job_id, nonce=nonce)
    if not retrain:
        raise job_refused(
            f"job {job_id} is a {status.kind}, which takes long to recompute: add --retrain (`retrain=true`)"
        )
    return ReproduceTraining(job_id=job_id, nonce=nonce)
