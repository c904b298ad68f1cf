"""The thread of a pool that confirms prepared outcomes, if outcomes wait for the disk or for replicas.

Every pool of the fleet confirms the outcomes of all, so that those of a pool that has died become visible too.
"""

from __future__ import annotations

import time

import structlog

from ledger.contracts.failures import LedgerUnavailableError
from ledger.durability.outcomes import ConfirmedOutcomes
from ledger.ledger import Ledger
from workers.pool.vital_threads import LoopErrors, start_critical_thread
from workers.settings import WorkerSettings

_LOG_INTERVAL_SECONDS = 30.0
_PAUSE_SECONDS = 0.5


class OutcomeConfirmer:
    """Confirmation of outcomes, from the first time that it is needed until the process ends."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._log = structlog.get_logger("cornerman.guard")
        self._started = False
        self._logged_seconds = -float("inf")

    def set_durability(self, ledger: Ledger) -> None:
        """Store what outcomes wait for, as this pool's settings say. Raises LedgerError."""
        ledger.outcome_confirmation.set_durability()
        self._log.info("outcome durability", durability=ledger.outcome_confirmation.durability())

    def start(self) -> None:
        """Start the thread, if it does not run."""
        if not self._started:
            self._started = True
            start_critical_thread("confirmer", self._run)

    def _run(self) -> None:
        errors = LoopErrors(self._log, "confirmation of outcomes failed")
        ledger: Ledger | None = None
        while True:
            with errors.caught():
                try:
                    ledger = ledger or Ledger.connect(self._settings.ledger)
                    self._note(ledger.outcome_confirmation.confirm_when_notified(_PAUSE_SECONDS))
                    continue
                except LedgerUnavailableError as unavailable:
                    self._log.warning("ledger unavailable", error=str(unavailable))
            time.sleep(_PAUSE_SECONDS)

    def _note(self, confirmed: ConfirmedOutcomes) -> None:
        """Log that outcomes cannot be confirmed, and what is missing."""
        now_seconds = time.monotonic()
        if confirmed.missing is not None and now_seconds - self._logged_seconds >= _LOG_INTERVAL_SECONDS:
            self._logged_seconds = now_seconds
            self._log.error(
                "outcomes cannot be confirmed",
                missing=confirmed.missing.value,
                reason=confirmed.reason,
                waiting=confirmed.waiting,
            )
