"""Exceptions that snooze a job: it is retried later without using an attempt."""

from __future__ import annotations

from ledger.contracts.job_state import Progress


class JobSnoozedError(Exception):
    """The job waits for something other than a worker: snooze it.

    Parameters
    ----------
    reason
        Why the job cannot run now; shown to callers as progress.
    delay_seconds
        Delay until the job is queued again, unless it is resumed before.
    note
        State that its next claim receives; by default that of the current claim.
    progress
        Progress to show to callers meanwhile.
    """

    def __init__(
        self, reason: str, delay_seconds: float, *, note: bytes | None = None, progress: Progress | None = None
    ) -> None:
        super().__init__(reason)
        self.delay_seconds = delay_seconds
        self.note = note
        self.progress = progress


class StoreUnavailableError(JobSnoozedError):
    """The store of models cannot be reached, or is full: the same job may succeed later."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, delay_seconds=2.0)
