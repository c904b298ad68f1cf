"""A limit on the memory of this process, checked at chosen points.

Memory means resident memory (RSS) in MB of 2**20 bytes. It counts memory-mapped pages in use even if other processes
share them, so the limit errs on the safe side. An allocation under way is not stopped; the worker pool has a hard limit
for that.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from functools import lru_cache
from math import ceil
from mmap import PAGESIZE

import psutil

from engine.errors import MemoryLimitError

_MB = 2**20
_STATM_BYTES = 256  # seven numbers
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # from <malloc.h>


def resident_bytes() -> int:
    """Return the resident memory of this process, in bytes."""
    try:
        statm = os.open("/proc/self/statm", os.O_RDONLY)  # psutil reads the same and takes several times as long
    except FileNotFoundError:
        return int(_process(os.getpid()).memory_info().rss)
    try:
        return int(os.read(statm, _STATM_BYTES).split()[1]) * PAGESIZE
    finally:
        os.close(statm)


@lru_cache(maxsize=1)
def _process(pid: int) -> psutil.Process:
    """Return the process of this id, cached because looking it up is slow; a forked process has another id."""
    return psutil.Process(pid)


def use_single_malloc_arena() -> None:
    """Let glibc's malloc use one arena for all threads and release blocks of 128 KiB or more as soon as they are free.

    Otherwise each thread that fits models would keep free blocks of its own. Does nothing with another C library.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(_M_ARENA_MAX, 1)
        set_option(_M_MMAP_THRESHOLD, 128 * 1024)  # by default it grows up to 32 MiB


def trim_malloc() -> None:
    """Release free memory of glibc's malloc to the system. Does nothing with another C library."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


class MemoryGuard:
    """A comparison of this process's memory with a limit.

    Parameters
    ----------
    max_memory_mb
        The limit, in MB of 2**20 bytes; may be infinite.
    sensor
        Returns the memory in use, in bytes; tests may replace it.
    """

    def __init__(self, max_memory_mb: float, sensor: Callable[[], int] = resident_bytes) -> None:
        self.max_memory_mb = max_memory_mb
        self._sensor = sensor

    def check(self, what: str) -> float:
        """Return the MB in use. Raises MemoryLimitError, naming the activity `what`, if they exceed the limit."""
        used_mb = self._sensor() / _MB
        if used_mb > self.max_memory_mb:
            raise MemoryLimitError(
                f"{what}: memory limit exceeded: {used_mb:.1f} MB in use, max_memory_mb is {self.max_memory_mb:.1f}; "
                "raise it, or use smaller batches or fewer replicas"
            )
        return used_mb

    def batch_size(self, bytes_per_item: int, requested: int) -> int:
        """Return how many items fit below the limit, at least one and at most `requested`.

        Parameters
        ----------
        bytes_per_item
            Memory of one item, in bytes.
        requested
            Upper limit of the result.

        Raises
        ------
        MemoryLimitError
            If not even one item fits; the message gives the figures and a sufficient limit.
        """
        used_bytes = self._sensor()
        free_bytes = self.max_memory_mb * _MB - used_bytes
        if bytes_per_item > free_bytes:
            raise MemoryLimitError(
                f"one item of a batch needs {bytes_per_item / _MB:.1f} MB, but {used_bytes / _MB:.1f} MB of "
                f"max_memory_mb {self.max_memory_mb:.1f} are in use; an item of {max(free_bytes, 0) / _MB:.1f} MB "
                f"would fit, or this one with max_memory_mb={ceil((used_bytes + bytes_per_item) / _MB)}"
            )
        return int(min(requested, free_bytes // max(bytes_per_item, 1)))  # an absent limit is infinite
