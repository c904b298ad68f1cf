"""The maintenance of a pool's children in Celery's event loop, when there is a reason for it and not at an interval.

Reasons are the end of a child, which makes a file descriptor readable, and a tick of the supervisor that found the pool
at work or changed (`WorkerPool.maintain`). What both would miss is found by Celery's own look every 5 s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from celery.worker import state

from workers.broker.autoscaler import Autoscaler
from workers.broker.consumers import sync_consumers
from workers.pool.pool import WorkerPool
from workers.pool.processes import ProcessSentinels


class Maintenance:
    """The maintenance of one pool. Except for `request`, in Celery's event loop only."""

    def __init__(self, worker: Any, pool: WorkerPool, queues: Sequence[str]) -> None:
        self._worker = worker
        self._pool = pool
        self._queues = queues
        self._hub: Any = None
        self._sentinels = ProcessSentinels()
        self._watched: dict[int, int] = {}  # file descriptor by process id
        # Without `--autoscale` Celery has no autoscaler, but the operator's controls and the limits still apply.
        self._scaler = worker.autoscaler or Autoscaler(worker.pool, 1, 1, worker=worker)

    def register(self, hub: Any) -> None:
        """Start in an event loop; after a reconnect it is the same one, without its readers."""
        self._hub = hub
        self._watched.clear()
        self._sentinels.watch(())
        self._pool.maintain = self.request
        self.request()

    def request(self) -> None:
        """Maintain the children soon. Any thread may call it."""
        self._hub.call_soon(self._maintain)

    def _maintain(self) -> None:
        if self._worker.pool._pool is None:  # a request that came while the event loop was closed
            return
        # Celery looks for a dead child when its pipe closes, which is a moment too early, and then after 5 s.
        self._worker.pool.maintain_pool()
        if not self._pool.scoreboard.closing:
            sync_consumers(self._worker, self._pool.controls, self._queues, self._pool.settings.node_name)
            self._scaler.maybe_scale()
        if self._pool.scoreboard.start_failed and not self._pool.scoreboard.closing:
            self._pool.start_closing()
            state.should_stop = True  # a warm shutdown, as Celery's own signal handlers request it
        self._watch_children()

    def _watch_children(self) -> None:
        """Have the event loop call `_child_ended` for each child that there is now."""
        pids = {child.pid for child in self._worker.pool._pool._pool}
        for pid in self._watched.keys() - pids:
            self._hub.remove(self._watched.pop(pid))
        self._sentinels.watch(pids)
        for pid, descriptor in self._sentinels.descriptors.items():
            if pid not in self._watched:
                self._watched[pid] = descriptor
                self._hub.add_reader(descriptor, self._child_ended, pid)

    def _child_ended(self, pid: int) -> None:
        # It stays readable until Celery has waited for the process.
        self._hub.remove(self._watched.pop(pid))
        self._maintain()
