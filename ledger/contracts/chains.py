"""The state of a chain of jobs."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from ledger.contracts.failures import Failure
from ledger.contracts.job_state import JobStatus


class ChainState(StrEnum):
    """State of a chain."""

    WAITING = "waiting"  # its first job waits for its time or for another job
    RUNNING = "running"  # one of its jobs is queued or running
    SUCCEEDED = "succeeded"  # all of its jobs succeeded
    FAILED = "failed"  # one of its jobs failed or expired, which ended those after it
    CANCELLED = "cancelled"  # one of its jobs was cancelled, which ended those after it


class ChainStatus(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """State of a chain.

    Attributes
    ----------
    name
        Name of the chain, which is the id of its first job.
    state
        State of the chain: that of the job `step`.
    step
        Number of the first job that has not succeeded, from 1; of the last job if all have.
    jobs
        The jobs in their order.
    failure
        Why the job `step` has no report.
    """

    name: str
    state: ChainState
    step: int
    jobs: tuple[JobStatus, ...]
    failure: Failure | None = None
