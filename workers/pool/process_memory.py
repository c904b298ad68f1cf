"""How much memory processes have, as the kernel tells; all in MiB.

Two measures. `own_mb` is what a process itself has filled: anonymous pages and shared memory, also those that it still
shares with the parent that forked it. It is cheap, so that it can be asked often; its growth is what a job takes.
`share_mb` is its proportional share (PSS): a page that n processes have counts 1/n for each, so that the shares of a
pool add up to what the pool takes from the machine, however much was loaded before the fork. It costs more than ten
times as much.
"""

from __future__ import annotations

import re
from pathlib import Path

import psutil
from msgspec import Struct

_MIB = 2**20
_OWN = re.compile(rb"^Rss(?:Anon|Shmem):\s+(\d+) kB", re.MULTILINE)


class PoolMemory(Struct, frozen=True, kw_only=True):
    """A pool's memory as its guard saw it last: in use, its limit and what sets that, room for jobs, what a job takes.

    `wanted` is how many children it should have.
    """

    used_mb: float = 0.0
    limit_mb: float = 0.0
    limited_by: str = ""
    room_mb: float = 0.0
    job_mb: float = 0.0
    wanted: int = 0


def own_mb(pid: int | str = "self") -> float:
    """Return what a process has filled; 0 when it is gone. Falls back on resident memory where there is no /proc."""
    try:
        status = Path(f"/proc/{pid}/status").read_bytes()
    except FileNotFoundError:
        return _resident_mb(pid)
    except ProcessLookupError:  # it went while the kernel wrote
        return 0.0
    return sum(map(int, _OWN.findall(status))) / 1024


def share_mb(pid: int) -> float:
    """Return a process's share of the memory that its pool takes; 0 when it is gone."""
    try:
        memory = psutil.Process(pid).memory_full_info()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0.0
    return float(getattr(memory, "pss", memory.uss)) / _MIB


def _resident_mb(pid: int | str) -> float:
    try:
        return float(psutil.Process(None if pid == "self" else int(pid)).memory_info().rss) / _MIB
    except psutil.NoSuchProcess:
        return 0.0
