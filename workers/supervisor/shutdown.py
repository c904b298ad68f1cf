"""The forced end of a pool that was told to stop, for a server that does not answer.

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

from workers.pool.event_pipe import Kill
from workers.pool.pool import Pool
from workers.pool.processes import lives

GRACE_SECONDS = 1.0
"""Time for the supervisor to release jobs after the shutdown grace is over."""


def end_in_time(pool: Pool) -> None:
    """Start the thread, in the main process."""
    threading.Thread(target=_end_in_time, args=(pool,), name="closing", daemon=True).start()


def _end_in_time(pool: Pool) -> None:
    pause = threading.Event()
    while not pool.board.closing:
        pause.wait(pool.settings.guard_seconds)
    time.sleep(pool.settings.finish_seconds + GRACE_SECONDS)
    while True:
        for child in pool.board.children():
            if lives(child.pid):
                reason = "the pool is closing and the ledger does not answer"
                structlog.get_logger("cornerman.guard").warning("child killed", child=child.pid, reason=reason)
                pool.telemetry.tell(Kill(reason))
                with suppress(ProcessLookupError):  # it has just exited
                    os.kill(child.pid, signal.SIGKILL)
        pause.wait(pool.settings.guard_seconds)
