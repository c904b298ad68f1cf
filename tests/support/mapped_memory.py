"""Memory of known size, in mappings of its own: no part of it comes from what earlier tests left in the heap."""

from __future__ import annotations

import mmap

MIB = 2**20


def mapped_memory(megabytes: int, flags: int = mmap.MAP_PRIVATE) -> mmap.mmap:
    """Map memory in MB and touch every page of it."""
    mapping = mmap.mmap(-1, max(1, megabytes * MIB), flags=flags | mmap.MAP_ANONYMOUS)
    for page in range(0, megabytes * MIB, mmap.PAGESIZE):
        mapping[page] = 1
    return mapping
