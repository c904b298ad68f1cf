"""The memory that a pool takes from the machine, by process: read from the kernel at an interval, estimated in between.

The kernel computes a PSS from every page of the process, which takes milliseconds for each process of a pool. What a
process fills itself is cheap to read and belongs to it alone, so the PSS moves by as much.
"""

from __future__ import annotations

from collections.abc import Mapping

from workers.pool.process_memory import pss_mb

READ_SECONDS = 2.0
"""Age at which readings are made again: pages that a process copies or shares less move its PSS alone."""
IDLE_READ_SECONDS = 60.0
"""The same while no child works: then none copies many pages. The first look after that reads again."""


class PoolPss:
    """The proportional set sizes of a changing set of processes. Used by one thread."""

    def __init__(self) -> None:
        self._read: dict[int, tuple[float, float]] = {}  # PSS and anonymous memory of each process, in MiB
        self._read_seconds = 0.0

    def update(self, anon_rss: Mapping[int, float], now_seconds: float, *, idle: bool = False) -> dict[int, float]:
        """Return the PSS of each process in MiB, given `anon_rss_mb` of each; 0 if it is gone.

        With `idle` no child works.

        All are read again if another process has started or ended, because the others share their pages with it.
        """
        max_age_seconds = IDLE_READ_SECONDS if idle else READ_SECONDS
        if anon_rss.keys() != self._read.keys() or now_seconds - self._read_seconds >= max_age_seconds:
            self._read = {pid: (pss_mb(pid), owned_mb) for pid, owned_mb in anon_rss.items()}
            self._read_seconds = now_seconds
        return {pid: max(0.0, pss + anon_rss[pid] - owned_mb) for pid, (pss, owned_mb) in self._read.items()}
