"""The scheduler of a monitoring pool: a thread of its main process that submits the due slots of all schedules.

Every monitoring pool has one, and none of them leads: the ledger accepts each slot once. The thread sleeps until the
next slot, but looks at least every few seconds whether a schedule was changed, the server's clock was set, or a run has
ended; a look is three short commands while nothing has happened.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

import structlog

from ledger.contracts.failures import LedgerUnavailableError, PermissionDeniedError
from ledger.contracts.schedules import FAILED_STATES, ScheduleRun
from ledger.ledger import Ledger
from ledger.schedules.due_runs import DueRuns
from workers.pool.pool import WorkerPool
from workers.pool.vital_threads import LoopErrors, start_critical_thread

LOOK_SECONDS = 5.0
"""Longest time between two looks."""
MIN_LOOK_SECONDS = 0.05
QUEUE = "monitor"
"""The queue whose pools have a scheduler."""


class Scheduler:
    """The scheduler of one pool."""

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool
        self._log = structlog.get_logger("cornerman.schedules")
        self._due: DueRuns | None = None

    def start(self) -> None:
        """Start the thread; it runs until the process ends."""
        start_critical_thread("scheduler", self._run)

    def _run(self) -> None:
        pause, unavailable = threading.Event(), False
        errors = LoopErrors(self._log, "schedules not looked at")
        while True:
            wait_seconds = LOOK_SECONDS
            with errors.caught():
                try:
                    wait_seconds = self._look()
                    unavailable = False
                except (LedgerUnavailableError, PermissionDeniedError) as error:
                    if not unavailable:
                        self._log.warning("schedules wait for the ledger", error=str(error))
                    unavailable = True
            pause.wait(wait_seconds)

    def _look(self) -> float:
        """Submit what is due, note what has ended, and return how long to sleep."""
        if self._due is None:
            self._due = Ledger.connect(self._pool.settings.ledger).due_runs()
        look = self._due.look()
        self._report(look.runs)
        self._report(self._due.note_outcomes())
        for name, error in look.errors.items():
            self._log.error("schedule not submitted", schedule=name, error=error)
        if look.wait_seconds is None or any(run.state == "refused" for run in look.runs):
            return LOOK_SECONDS
        return min(max(look.wait_seconds, MIN_LOOK_SECONDS), LOOK_SECONDS)

    def _report(self, runs: Iterable[ScheduleRun]) -> None:
        for run in runs:
            failed = run.state in FAILED_STATES or (run.state == "refused" and run.tries == 1)
            if run.state == "refused" and not failed:
                continue
            log = self._log.warning if failed else self._log.info
            why = {"code": run.code, "message": run.message} if run.code else {}
            log("schedule run", run=run.run_id, state=run.state, slots=run.slots, **why)
