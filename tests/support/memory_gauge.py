"""Sampling of a pool's memory: the sum of the proportional set sizes (PSS) of all its processes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from workers.pool.process_memory import pss_mb

SAMPLE_SECONDS = 0.05


class MemoryGauge:
    """Memory sampler of a process and its children; `samples` holds monotonic times with MB."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self.peak_mb = 0.0
        self.max_children = 0
        self.samples: list[tuple[float, float]] = []

    def read_mb(self) -> float:
        """Measure the current memory in MB, store it as a sample and return it."""
        children = self._process.children()
        used_mb = sum(pss_mb(process.pid) for process in [self._process, *children])
        self.peak_mb = max(self.peak_mb, used_mb)
        self.max_children = max(self.max_children, len(children))
        self.samples.append((time.monotonic(), used_mb))
        return used_mb

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Sample in a thread for the duration of a block."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(SAMPLE_SECONDS):
                self.read_mb()

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
