"""Memory limits of the machine and of the control groups (cgroups) around this process, in MiB.

A container's limit is that of its control group, and every parent group has a limit too: the tightest counts. Versions
1 and 2 of cgroups differ in names only. Memory that the kernel can reclaim at once (clean, inactive pages of files)
counts as free.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
from msgspec import Struct

_MIB = 2**20
_UNLIMITED = 2**62  # version 1 writes its largest number of whole pages for "no limit"


class MemoryLimit(Struct, frozen=True):
    """One memory limit: its source, the limit, and the memory that is free below it now."""

    name: str
    limit_mb: float
    free_mb: float


def memory_limits(proc: Path = Path("/proc"), root: Path = Path("/sys/fs/cgroup")) -> list[MemoryLimit]:
    """Return the machine's limit and those of all control groups of this process."""
    machine = psutil.virtual_memory()
    return [MemoryLimit("machine", machine.total / _MIB, machine.available / _MIB), *cgroup_limits(proc, root)]


def cgroup_limits(proc: Path, root: Path) -> list[MemoryLimit]:
    """Return the limits of the control groups, without unlimited groups; empty if there are no control groups."""
    found = (_limit_of_group(folder, is_v2) for folder, is_v2 in _folders(proc, root))
    return [bound for bound in found if bound is not None]


def _folders(proc: Path, root: Path) -> Iterator[tuple[Path, bool]]:
    """Yield each memory group of this process with its parents, and whether the group is of version 2."""
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        is_v2 = not controllers
        mounts = [root, root / "unified"] if is_v2 else [root / "memory"]
        for top in mounts:
            # In a container the path may be the host's, while the mounted folder is already the group's own.
            inner = top / path.strip("/")
            folder = inner if inner.is_dir() and ".." not in inner.parts else top
            while folder.is_dir():
                yield folder, is_v2
                if folder == top:
                    break
                folder = folder.parent


def _limit_of_group(folder: Path, is_v2: bool) -> MemoryLimit | None:
    names = ("memory.max", "memory.current", "inactive_file")
    if not is_v2:
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    try:
        limit = (folder / names[0]).read_text().strip()
        if limit == "max" or int(limit) >= _UNLIMITED:
            return None
        used = int((folder / names[1]).read_text())
        statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except OSError:  # this group has no limits, or has been removed
        return None
    free = int(limit) - used + int(statistics.get(names[2], 0))
    return MemoryLimit(f"cgroup {folder}", int(limit) / _MIB, max(0, free) / _MIB)
