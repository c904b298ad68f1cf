"""A limit on the memory of this process, checked at chosen moments.

Covers resident memory (RSS, in MB of 2**20 bytes), which counts memory-mapped pages that are in use although processes
share them: the limit errs on the safe side. Does not stop an allocation under way; the worker pool has a hard limit.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from functools import lru_cache
from math import ceil

import psutil

from engine.errors import MemoryLimitError

_MB = 2**20
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # as <malloc.h> has them


def resident_bytes() -> int:
    """Memory of this process that is in RAM now."""
    return int(_process(os.getpid()).memory_info().rss)


@lru_cache(maxsize=1)
def _process(pid: int) -> psutil.Process:
    """Looking a process up costs more than asking it; one that was forked has another number."""
    return psutil.Process(pid)


def hold_memory_together() -> None:
    """Have the C library serve all threads from one arena, and give pieces of 128 KiB back as soon as they are free.

    Threads that fit many models would each keep their own free pieces. Does nothing where the library is not glibc.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(_M_ARENA_MAX, 1)
        set_option(_M_MMAP_THRESHOLD, 128 * 1024)  # left alone, it grows to 32 MiB


def give_back_memory() -> None:
    """Give what the C library holds free back to the system. Does nothing where it is not glibc."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


class MemoryGuard:
    """Compares the memory of this process with a limit; `sensor` gives its bytes and may be replaced in tests."""

    def __init__(self, max_memory_mb: float, sensor: Callable[[], int] = resident_bytes) -> None:
        self.max_memory_mb = max_memory_mb
        self._sensor = sensor

    def check(self, what: str) -> float:
        """Return the MB in use. Raises MemoryLimitError, naming what was being done, when they exceed the limit."""
        used_mb = self._sensor() / _MB
        if used_mb > self.max_memory_mb:
            raise MemoryLimitError(
                f"{what}: memory limit exceeded: {used_mb:.1f} MB in use, max_memory_mb is {self.max_memory_mb:.1f}; "
                "raise it, or use smaller batches or fewer replicas"
            )
        return used_mb

    def batch_size(self, bytes_per_item: int, requested: int) -> int:
        """How many items of this size, at most `requested` and at least one, fit below the limit beside what is in use.

        Raises MemoryLimitError with the figures, and the limit at which one would fit, when not even one does.
        """
        used_bytes = self._sensor()
        free_bytes = self.max_memory_mb * _MB - used_bytes
        if bytes_per_item > free_bytes:
            raise MemoryLimitError(
                f"one item of a batch needs {bytes_per_item / _MB:.1f} MB, but {used_bytes / _MB:.1f} MB of "
                f"max_memory_mb {self.max_memory_mb:.1f} are in use; an item of {max(free_bytes, 0) / _MB:.1f} MB "
                f"would fit, or this one with max_memory_mb={ceil((used_bytes + bytes_per_item) / _MB)}"
            )
        return int(min(requested, free_bytes // max(bytes_per_item, 1)))  # no limit at all is infinite
