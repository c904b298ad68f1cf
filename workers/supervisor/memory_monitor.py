"""The watcher of a pool: a thread that looks at the memory of every child at work, twenty times a second.

A child's own limits (the engine's checks between batches, RLIMIT_DATA at every allocation) end a job that wants too
much with an error of its own, and the child lives on. Some memory escapes them: shared mappings do not count for
RLIMIT_DATA, and C code does not check. What takes a child over its ceiling all the same is stopped from here, and
its job settled by the guard. What counts for that is the whole child, because the machine's memory is at stake. Who is
blamed is another question (`workers.supervisor.rules.blamed`): a job answers for what it has added to what its child
had when it began, and otherwise is tried again in another child. The watcher needs no ledger, so it goes on while the
server is away. It also sees how much jobs take, which the pool's size is reckoned from.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import deque
from contextlib import suppress

import msgspec
import structlog
from msgspec import Struct

from workers.pool.event_pipe import Kill
from workers.pool.memory_attribution import blamed
from workers.pool.pool import Pool
from workers.pool.process_memory import own_mb
from workers.pool.processes import lives
from workers.pool.scoreboard import Activity
from workers.pool.vital_threads import Stumbles, start_vital

_REMEMBERED_SECONDS = 600.0
_REMEMBERED_JOBS = 1000
REASON = "memory limit"


class Excess(Struct, frozen=True):
    """What a child was stopped for: its memory, its ceiling, and whether the job at hand is to blame."""

    used_mb: float
    ceiling_mb: float
    blamed: bool


class Watcher:
    """Knows what jobs take, and stops those that take too much."""

    def __init__(self, pool: Pool) -> None:
        self.excesses: dict[bytes, Excess] = {}
        """By claim; whoever settles one takes it out."""
        self.killed_for: dict[int, bytes] = {}
        """For which claim a child was killed, by process id; the guard adds its own, and forgets."""
        self._pool = pool
        self._growths: dict[bytes, float] = {}
        self._past: deque[tuple[float, float]] = deque(maxlen=_REMEMBERED_JOBS)
        self._log = structlog.get_logger("cornerman.guard")

    def start(self) -> None:
        """Watch for as long as the process lives."""
        start_vital("watcher", self._run)

    def growth_mb(self) -> float:
        """Return the most by which a job has made its child grow in the last ten minutes; 0 when none was seen."""
        since_seconds = time.monotonic() - _REMEMBERED_SECONDS
        past = [growth for seen_seconds, growth in list(self._past) if seen_seconds >= since_seconds]
        return max(0.0, *past, *list(self._growths.values()), 0.0)

    def look(self) -> None:
        """Look once at every child at work."""
        growths = {}
        for activity in self._pool.board.children():
            if not activity.token:
                continue
            used_mb = own_mb(activity.pid)
            growths[activity.token] = max(self._growths.get(activity.token, 0.0), used_mb - activity.kept_mb)
            if activity.ceiling_mb and used_mb > activity.ceiling_mb and not activity.handled:
                self._stop(activity, used_mb)
        for token in self._growths.keys() - growths.keys():
            self._past.append((time.monotonic(), self._growths[token]))
        self._growths = growths

    def _run(self) -> None:
        pause = threading.Event()
        stumbles = Stumbles(self._log, "the watcher stumbled", self._pool.settings.canary_patience_seconds)
        while True:
            with stumbles.caught():
                self.look()
            pause.wait(self._pool.settings.watch_seconds)

    def _stop(self, activity: Activity, used_mb: float) -> None:
        if not lives(activity.pid) or activity not in self._pool.board.children():
            return  # it has just ended, or was read while it wrote
        with suppress(ProcessLookupError):
            excess = Excess(round(used_mb, 1), activity.ceiling_mb, blamed(activity, used_mb))
            self.excesses.setdefault(activity.token, excess)
            self.killed_for[activity.pid] = activity.token
            os.kill(activity.pid, signal.SIGKILL)
            self._log.warning("child killed", child=activity.pid, reason=REASON, **msgspec.structs.asdict(excess))
            self._pool.telemetry.tell(Kill(REASON))
