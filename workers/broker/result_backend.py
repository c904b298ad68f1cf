"""A Celery result backend that reads the ledger: `AsyncResult(job_id)` of any Celery app returns our outcomes.

    app = Celery(backend="workers.broker.result_backend:LedgerBackend+rediss://user:password@host:6380/0")
    app.AsyncResult(receipt.job_id).get(timeout=30)      # the report, or an error with the typed failure

The other settings of the ledger come from the environment, as everywhere; without a URL, so does the server's.

    queued, unknown, forgotten   PENDING; Celery has one word for them, `exists()` and `Client.status` distinguish them
    running                      STARTED; `info` is the progress
    succeeded                    SUCCESS; `result` is the report
    failed, expired              FAILURE; `result` is the error of the failed job
    cancelled                    REVOKED; `result` is the error of the failed job

The backend only reads: jobs are submitted, cancelled and forgotten through the ledger. `get()` without a timeout waits
for ever for an id that was never submitted, because Celery sees such an id as PENDING; `Client.result` raises instead.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any

from celery import states
from celery.backends.base import BaseBackend
from celery.exceptions import TimeoutError as CeleryTimeoutError

from ledger.contracts.failures import JobFailedError, LedgerUnavailableError, UnknownJobError, WaitTimeoutError
from ledger.contracts.job_state import JobState, Outcome
from ledger.ledger import Ledger, LedgerSettings

_STATES = {
    JobState.SUCCEEDED: states.SUCCESS,
    JobState.FAILED: states.FAILURE,
    JobState.EXPIRED: states.FAILURE,
    JobState.CANCELLED: states.REVOKED,
}


class LedgerBackend(BaseBackend):  # type: ignore[misc]  # celery ships no types
    """Outcomes of the ledger as Celery's task metadata."""

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger, opened on first use: connections must not survive a fork."""
        settings = LedgerSettings.from_env()
        return Ledger.connect(replace(settings, redis_url=self.url) if self.url else settings)

    def task_result_exists(self, task_id: str) -> bool:
        """Return True if the ledger has such a job, in any state."""
        return self.ledger.status(task_id).state not in (JobState.UNKNOWN, JobState.FORGOTTEN)

    def wait_for(
        self,
        task_id: str,
        timeout: float | None = None,
        interval: float = 0.5,
        no_ack: bool = True,
        on_interval: Callable[[], None] | None = None,
    ) -> dict[str, Any]:
        """Wait for an outcome on the ledger's channel. Raises Celery's TimeoutError, and LedgerUnavailableError."""
        started = reached = time.monotonic()
        deadline = float("inf") if timeout is None else started + timeout
        silence_seconds = 2 * self.ledger.settings.reply_timeout_seconds  # an interval may be shorter than a reply
        while True:
            patience_seconds = min(interval, max(0.0, deadline - time.monotonic()))
            try:
                return _meta_of(self.ledger.wait(task_id, patience_seconds))
            except UnknownJobError:
                reached = time.monotonic()
                time.sleep(patience_seconds)  # it may still be submitted; there is no channel to wait on
            except WaitTimeoutError:
                reached = time.monotonic()
            except LedgerUnavailableError:
                if time.monotonic() >= min(deadline, reached + silence_seconds):
                    raise
                time.sleep(min(patience_seconds, 0.1))  # the connection may have been refused at once
            if on_interval is not None:
                on_interval()
            if time.monotonic() >= deadline:
                raise CeleryTimeoutError(f"job {task_id} has no outcome after {timeout:g} s")

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        status = self.ledger.status(task_id)
        outcome = self.ledger.outcome(task_id) if status.state.final else None
        if outcome is not None:
            return _meta_of(outcome)
        state = states.STARTED if status.state is JobState.RUNNING else states.PENDING
        return {"task_id": task_id, "status": state, "result": status.progress, "traceback": None, "children": []}


def _meta_of(outcome: Outcome) -> dict[str, Any]:
    result = outcome.report if outcome.failure is None else JobFailedError(outcome.job_id, outcome.failure)
    return {
        "task_id": outcome.job_id,
        "status": _STATES[outcome.state],
        "result": result,
        "date_done": outcome.settled_at,
        "traceback": None,
        "children": [],
    }
