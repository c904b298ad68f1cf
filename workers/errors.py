"""Why a job that is all right cannot go on now. It is parked, at the same attempt, until it is due or woken."""

from __future__ import annotations

from ledger.contracts.job_state import Progress


class LaterError(Exception):
    """The job waits for something else than a worker: park it.

    `note` is what its next claim is given, by default what this one was; `progress` is told to who waits.
    """

    def __init__(
        self, reason: str, due_seconds: float, *, note: bytes | None = None, progress: Progress | None = None
    ) -> None:
        super().__init__(reason)
        self.due_seconds = due_seconds
        self.note = note
        self.progress = progress


class StoreUnavailableError(LaterError):
    """The store of models cannot be reached, or has no room: the same may work in a while."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, due_seconds=2.0)
