"""The forced end of a pool that must stop, in case the server does not answer.

At shutdown the supervisor releases the jobs of its children and then kills the children. While the server is silent,
the supervisor and the children are still waiting for an answer at that time, so this thread kills the children without
one: their leases expire.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress

import structlog

from workers.pool.event_pipe import ChildKilled
from workers.pool.pool import WorkerPool
from workers.pool.processes import is_alive

RELEASE_GRACE_SECONDS = 1.0
"""Time for the supervisor to release jobs after the shutdown grace is over."""


def enforce_shutdown(pool: WorkerPool) -> None:
    """Start the thread, in the main process."""
    threading.Thread(target=_end_in_time, args=(pool,), name="closing", daemon=True).start()


def _end_in_time(pool: WorkerPool) -> None:
    while not pool.scoreboard.closing:
        pool.closing_wakeup.wait()
    time.sleep(pool.settings.shutdown_grace_seconds + RELEASE_GRACE_SECONDS)
    while True:
        for child in pool.scoreboard.slots():
            if is_alive(child.pid):
                reason = "the pool is closing and the ledger does not answer"
                structlog.get_logger("cornerman.guard").warning("child killed", child=child.pid, reason=reason)
                pool.event_pipe.send(ChildKilled(reason))
                with suppress(ProcessLookupError):  # it has just exited
                    os.kill(child.pid, signal.SIGKILL)
        time.sleep(pool.settings.supervisor_interval_seconds)
