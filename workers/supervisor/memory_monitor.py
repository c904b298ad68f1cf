"""The memory monitor of a pool: a thread that measures the memory of every child at work, twenty times a second.

While no child works it waits until one begins; a child reserves memory before it claims.

A child's own limits (the engine's checks between batches, RLIMIT_DATA at every allocation) end a job that needs too
much with an error of its own, and the child survives. Some memory escapes these limits: shared mappings do not count
for RLIMIT_DATA, and C code does not check. The monitor kills a child that exceeds its ceiling all the same, and the
supervisor settles its job. The whole child's memory counts, because the machine's memory is at stake. Which job is
responsible is another question (`job_caused_excess`): a job answers for what it has added to its child's memory since
it started, and otherwise is retried in another child. The monitor needs no ledger, so it goes on while the server is
away. It also records how much memory jobs take, from which the pool's size is computed.
"""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from contextlib import suppress

import msgspec
import structlog
from msgspec import Struct

from workers.pool.event_pipe import ChildKilled
from workers.pool.memory_attribution import job_caused_excess
from workers.pool.pool import WorkerPool
from workers.pool.process_memory import anon_rss_mb
from workers.pool.processes import is_alive
from workers.pool.scoreboard import ChildSlot
from workers.pool.vital_threads import LoopErrors, start_critical_thread

_WINDOW_SECONDS = 600.0
_MAX_ENDED_JOBS = 1000
KILL_REASON = "memory limit"


class MemoryExcess(Struct, frozen=True):
    """The reason a child was killed: its memory, its ceiling, and whether the current job is responsible."""

    used_mb: float
    ceiling_mb: float
    blamed: bool


class MemoryMonitor:
    """The memory that jobs take; kills children that exceed their ceiling."""

    def __init__(self, pool: WorkerPool) -> None:
        self.excesses: dict[bytes, MemoryExcess] = {}
        """By claim token; the supervisor removes an entry when it settles the job."""
        self.killed_for: dict[int, bytes] = {}
        """The claim token for which a child was killed, by process id; shared with the supervisor, which updates it."""
        self._pool = pool
        self._growths: dict[bytes, float] = {}
        self._ended_jobs: deque[tuple[float, float]] = deque(maxlen=_MAX_ENDED_JOBS)
        self._log = structlog.get_logger("cornerman.guard")

    def start(self) -> None:
        """Start the monitor thread, which runs until the process ends."""
        start_critical_thread("memory_monitor", self._run)

    def max_growth_mb(self) -> float:
        """Return the largest growth of a child by one job in the last ten minutes; 0 if none was observed."""
        since_seconds = time.monotonic() - _WINDOW_SECONDS
        past = [growth for seen_seconds, growth in list(self._ended_jobs) if seen_seconds >= since_seconds]
        return max(0.0, *past, *list(self._growths.values()), 0.0)

    def tick(self) -> bool:
        """Measure every child at work once; return True if there is one, or one that may begin to work."""
        growths, slots = {}, self._pool.scoreboard.slots()
        for slot in slots:
            if not slot.token:
                continue
            used_mb = anon_rss_mb(slot.pid)
            growths[slot.token] = max(self._growths.get(slot.token, 0.0), used_mb - slot.reserved_from_mb)
            if slot.ceiling_mb and used_mb > slot.ceiling_mb and not slot.handler_ended:
                self._kill(slot, used_mb)
        for token in self._growths.keys() - growths.keys():
            self._ended_jobs.append((time.monotonic(), self._growths[token]))
        self._growths = growths
        return any(slot.token or slot.reserved_mb for slot in slots)

    def _run(self) -> None:
        errors = LoopErrors(self._log, "memory monitor failed", self._pool.settings.liveness_timeout_seconds)
        while True:
            working = True
            with errors.caught():
                working = self.tick()
            if not working:
                self._pool.memory_wakeup.wait()
            # After a wait too: most jobs are shorter, and no job fills much memory in that time.
            time.sleep(self._pool.settings.memory_check_interval_seconds)

    def _kill(self, slot: ChildSlot, used_mb: float) -> None:
        if not is_alive(slot.pid) or slot not in self._pool.scoreboard.slots():
            return  # it has just ended, or its slot was read during a write
        with suppress(ProcessLookupError):
            excess = MemoryExcess(round(used_mb, 1), slot.ceiling_mb, job_caused_excess(slot, used_mb))
            self.excesses.setdefault(slot.token, excess)
            self.killed_for[slot.pid] = slot.token
            os.kill(slot.pid, signal.SIGKILL)
            self._log.warning("child killed", child=slot.pid, reason=KILL_REASON, **msgspec.structs.asdict(excess))
            self._pool.event_pipe.send(ChildKilled(KILL_REASON))
