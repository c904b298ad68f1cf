"""The memory of a pool as the machine sees it: the proportional shares (PSS) of all its processes, again and again."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from workers.pool.process_memory import share_mb

LOOK_SECONDS = 0.05


class MemoryGauge:
    """Watches a process and its children. `seen` has the moments, on the monotonic clock, with the MB."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self.peak_mb = 0.0
        self.most_children = 0
        self.seen: list[tuple[float, float]] = []

    def read_mb(self) -> float:
        """Return what they take now, and remember it."""
        children = self._process.children()
        used_mb = sum(share_mb(process.pid) for process in [self._process, *children])
        self.peak_mb = max(self.peak_mb, used_mb)
        self.most_children = max(self.most_children, len(children))
        self.seen.append((time.monotonic(), used_mb))
        return used_mb

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Read all the time, in a thread."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(LOOK_SECONDS):
                self.read_mb()

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
