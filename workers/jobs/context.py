"""What a handler is given beside its job."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ledger.contracts.failures import LedgerUnavailable
from ledger.contracts.job_state import Progress
from ledger.ledger import Claim, Ledger
from workers.models.model_cache import ModelCache
from workers.settings import WorkerSettings

if TYPE_CHECKING:
    from engine.ensemble import ProductionEnsembleManager
    from workers.models.model_store import Store


class ClaimLostError(Exception):
    """The job is no longer ours: it was cancelled, or its lease ran out. There is nothing left to do for it."""


@dataclass(frozen=True)
class JobContext:
    """The claim, the pool's settings, the ledger, the open models, and how time stands.

    `started_seconds` is on the monotonic clock.
    """

    claim: Claim
    settings: WorkerSettings
    ledger: Ledger
    models: ModelCache[ProductionEnsembleManager]
    started_seconds: float

    @cached_property
    def store(self) -> Store:
        """Where bundles lie, for the ledger of this job. Raises LedgerUnavailable."""
        from workers.models.model_store import Store  # with it comes the engine, which only children load

        return Store.of(self.settings, self.ledger.references.ledger_id())

    def progress(self, stage: str, done: int, total: int) -> None:
        """Tell who waits how far the job is. Raises ClaimLostError where it is no longer ours: let it pass through."""
        with suppress(LedgerUnavailable):  # an hour of training is worth more than a word about it
            if not self.ledger.set_progress(self.claim, Progress(stage=stage, done=done, total=total)):
                raise ClaimLostError(f"job {self.claim.job_id} was cancelled, or its lease ran out")

    def remaining_seconds(self) -> float:
        """Return how much of the job's time limit is left."""
        return self.claim.time_limit_seconds - (time.monotonic() - self.started_seconds)
