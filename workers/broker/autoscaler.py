"""The autoscaler of a pool: applies the number of children that the supervisor has decided.

It is Celery's `worker_autoscaler` and runs in Celery's event loop, which must not be blocked: it reads the scoreboard
only. The number is decided in `workers.supervisor.scaling_policy`.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import structlog
from celery.worker import autoscale

from workers.pool.pool import WorkerPool

_NEVER_SECONDS = 1e6


class Autoscaler(autoscale.Autoscaler):  # type: ignore[misc]  # celery ships no types
    """Grows and shrinks the pool to its target size. Only idle children are retired."""

    def __init__(self, *args: Any, worker: Any, **options: Any) -> None:
        cornerman: WorkerPool = worker.app.cornerman_pool
        # Never by Celery's timer: `workers.broker.maintenance` calls it.
        super().__init__(*args, worker=worker, **{**options, "keepalive": _NEVER_SECONDS})
        self._board = cornerman.scoreboard
        self._log = structlog.get_logger("cornerman.autoscaler")

    def maybe_scale(self, req: object = None) -> None:
        """Take a step towards the target size; ignore Celery's additional calls for each doorbell."""
        wanted = self._board.target_size
        if req is not None or not wanted or self._board.closing:
            return
        if wanted > self.processes:
            self._log.info("children added", children=self.processes, wanted=wanted)
            self.pool.grow(wanted - self.processes)
            self.pool.maintain_pool()
        elif (going := min(self.processes - wanted, self._idle())) > 0:
            self._log.info("children retired", children=self.processes, wanted=wanted, going=going)
            with suppress(ValueError):  # one of them has taken a job since
                self.pool.shrink(going)
        # Celery pops no more doorbells than this, even if the pool grows later.
        self.worker.max_concurrency = self.processes

    def _idle(self) -> int:
        """Return how many children may be retired; 0 while others are exiting, which billiard would count again.

        If one of them takes a job at this very moment, it releases the job, and no attempt is used up.
        """
        workers = self.pool._pool._pool
        if any(getattr(child, "_controlled_termination", False) for child in workers):
            return 0
        idle = {slot.pid for slot in self._board.slots() if not slot.token}
        return sum(child.pid in idle and not self.pool._pool._worker_active(child) for child in workers)
