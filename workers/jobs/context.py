"""The context of a job, which its handler gets as its second argument."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ledger.contracts.failures import LedgerUnavailableError
from ledger.contracts.job_state import Progress
from ledger.ledger import Claim, Ledger
from workers.models.model_cache import ModelCache
from workers.settings import WorkerSettings

if TYPE_CHECKING:
    from engine.ensemble import ProductionEnsembleManager
    from workers.models.model_store import Store


class ClaimLostError(Exception):
    """The job was cancelled, or its lease expired: its handler should stop."""


@dataclass(frozen=True)
class JobContext:
    """The claim of a job, with the settings, the ledger and the open models that its handler uses.

    Attributes
    ----------
    claim : Claim
        The claimed job, with the operator's controls at the time of the claim.
    settings : WorkerSettings
    ledger : Ledger
    models : ModelCache
        The open models of this child.
    started_seconds : float
        Start of the job on the monotonic clock.
    """

    claim: Claim
    settings: WorkerSettings
    ledger: Ledger
    models: ModelCache[ProductionEnsembleManager]
    started_seconds: float

    @cached_property
    def store(self) -> Store:
        """The store of bundles, opened for the ledger of this job. Raises LedgerUnavailableError."""
        from workers.models.model_store import Store  # imports the engine, which only children load

        return Store.from_settings(self.settings, self.ledger.references.ledger_id())

    def progress(self, stage: str, done: int, total: int) -> None:
        """Publish the progress of the job. Raises ClaimLostError if the claim is lost; handlers must let it pass."""
        with suppress(LedgerUnavailableError):  # an outage must not end an hour of training
            if not self.ledger.set_progress(self.claim, Progress(stage=stage, done=done, total=total)):
                raise ClaimLostError(f"job {self.claim.job_id} was cancelled, or its lease expired")

    def remaining_seconds(self) -> float:
        """Return the rest of the job's time limit."""
        return self.claim.time_limit_seconds - (time.monotonic() - self.started_seconds)
