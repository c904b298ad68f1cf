"""Memory of processes, as the kernel reports it; all in MiB.

There are two measures. `anon_rss_mb` is the memory that a process has filled itself (the kernel's RssAnon + RssShmem):
anonymous pages and shared memory, including those still shared with the parent that forked it. It is cheap enough to be
read often; its growth is what a job takes. `pss_mb` is the proportional set size (PSS): a page of n processes counts
1/n for each, so that the values of a pool add up to what the pool takes from the machine, however much was loaded
before the fork. It costs more than ten times as much.
"""

from __future__ import annotations

import os
import re

import psutil
from msgspec import Struct

_MIB = 2**20
_OWN = re.compile(rb"^Rss(?:Anon|Shmem):\s+(\d+) kB", re.MULTILINE)
_OWN_BYTES = 120  # of its lines: RssAnon, RssFile and RssShmem follow each other
_STATUS_BYTES = 65_536  # the kernel writes about 1,500, and more for many groups


class PoolMemory(Struct, frozen=True, kw_only=True):
    """The memory of a pool as its supervisor computed it last.

    Attributes
    ----------
    used_mb, limit_mb, limited_by
        Memory in use, the limit, and what sets the limit.
    room_mb, job_mb
        Free memory, and the memory of a typical job.
    wanted
        Number of children that the pool should have.
    """

    used_mb: float = 0.0
    limit_mb: float = 0.0
    limited_by: str = ""
    room_mb: float = 0.0
    job_mb: float = 0.0
    wanted: int = 0


def anon_rss_mb(pid: int | str = "self") -> float:
    """Return RssAnon + RssShmem of a process; 0 if it is gone. Without /proc: its resident memory."""
    try:
        file = os.open(f"/proc/{pid}/status", os.O_RDONLY)  # pathlib and a search of the whole text take as long again
    except FileNotFoundError:
        return _resident_mb(pid)
    try:
        status = os.read(file, _STATUS_BYTES)
    except ProcessLookupError:  # it exited during the read
        return 0.0
    finally:
        os.close(file)
    at = status.find(b"\nRssAnon:")
    return sum(map(int, _OWN.findall(status, at, at + _OWN_BYTES))) / 1024 if at >= 0 else 0.0


def pss_mb(pid: int) -> float:
    """Return the proportional set size of a process; 0 if it is gone."""
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
