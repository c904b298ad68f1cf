"""The memory of a pool as the machine sees it, measured again and again."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from workers.pool.process_memory import pss_mb

READ_SECONDS = 0.05


class MemoryGauge:
    """Sums the proportional shares (PSS) of a process and its children; `seen` are (monotonic seconds, MB)."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self.seen: list[tuple[float, float]] = []
        self.most_children = 0

    @property
    def peak_mb(self) -> float:
        return max(used_mb for _, used_mb in self.seen)

    def read_mb(self) -> float:
        children = self._process.children()
        used_mb = sum(pss_mb(process.pid) for process in [self._process, *children])
        self.most_children = max(self.most_children, len(children))
        self.seen.append((time.monotonic(), used_mb))
        return used_mb

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Read all the time, in a thread."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(READ_SECONDS):
                self.read_mb()

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
