"""The end of a pool that was told to stop, also if the server is silent.

The guard hands back what its children hold and then ends them. While the server is silent it is still waiting for an
answer at that time, and so are the children, so this thread ends them without one: their leases run out.
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
"""How long the guard has for handing back, when the time to finish is over."""


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
                with suppress(ProcessLookupError):  # it went by itself
                    os.kill(child.pid, signal.SIGKILL)
        pause.wait(pool.settings.guard_seconds)
