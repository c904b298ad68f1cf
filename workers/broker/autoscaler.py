"""The hands of the pool's size: Celery's autoscaler, told by the guard how many children there should be.

It runs in Celery's event loop, where nothing may be slow: all that it reads stands on the board. Named in Celery's
`worker_autoscaler`; how many children are wanted is decided in `workers.supervisor.scaling_policy`.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import structlog
from celery.worker import autoscale

from workers.pool.pool import Pool


class Autoscaler(autoscale.Autoscaler):  # type: ignore[misc]  # celery ships no types
    """Grows and shrinks the pool to what is wanted. Only idle children go."""

    def __init__(self, *args: Any, worker: Any, **options: Any) -> None:
        cornerman: Pool = worker.app.cornerman_pool
        super().__init__(*args, worker=worker, **{**options, "keepalive": cornerman.settings.guard_seconds})
        self._board = cornerman.board
        self._log = structlog.get_logger("cornerman.autoscaler")

    def maybe_scale(self, req: object = None) -> None:
        """Take a step towards the wanted number. Celery also calls it for every doorbell, which says nothing here."""
        wanted = self._board.wanted
        if req is not None or not wanted or self._board.closing:
            return
        if wanted > self.processes:
            self._log.info("children added", children=self.processes, wanted=wanted)
            self.pool.grow(wanted - self.processes)
            self.pool.maintain_pool()
        elif (going := min(self.processes - wanted, self._idle())) > 0:
            self._log.info("children retired", children=self.processes, wanted=wanted, going=going)
            with suppress(ValueError):  # one of them has found work since
                self.pool.shrink(going)
        # Celery pops no more doorbells than this, however large the pool may become.
        self.worker.max_concurrency = self.processes

    def _idle(self) -> int:
        """How many children may go; none while others are on their way out, whom billiard would count again.

        Should one of them take a job in this very moment, it hands it back, and no attempt is used up.
        """
        workers = self.pool._pool._pool
        if any(getattr(child, "_controlled_termination", False) for child in workers):
            return 0
        idle = {activity.pid for activity in self._board.children() if not activity.token}
        return sum(child.pid in idle and not self.pool._pool._worker_active(child) for child in workers)
