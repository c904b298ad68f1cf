"""How much memory the machine and the control groups (cgroups) around this process leave it, in MiB.

A container's limit is that of its control group, and every group above it has one too: the tightest counts. Version 1
and version 2 differ in names only. Memory that the kernel would give back at once (clean pages of files that nobody has
touched lately) counts as free.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
from msgspec import Struct

_MIB = 2**20
_UNLIMITED = 2**62  # version 1 writes its largest number of whole pages instead of a word


class Bound(Struct, frozen=True):
    """One bound on memory: whose it is, its limit, and what is free below it now."""

    name: str
    limit_mb: float
    free_mb: float


def bounds(proc: Path = Path("/proc"), root: Path = Path("/sys/fs/cgroup")) -> list[Bound]:
    """Return the machine's bound and those of all control groups that this process is in."""
    machine = psutil.virtual_memory()
    return [Bound("machine", machine.total / _MIB, machine.available / _MIB), *groups(proc, root)]


def groups(proc: Path, root: Path) -> list[Bound]:
    """Return the bounds of the control groups, those without a limit left out; none where there are no such groups."""
    found = (_bound(folder, second) for folder, second in _folders(proc, root))
    return [bound for bound in found if bound is not None]


def _folders(proc: Path, root: Path) -> Iterator[tuple[Path, bool]]:
    """Every folder of this process's memory group and of those above it, and whether it is of version 2."""
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        second = not controllers
        tops = [root, root / "unified"] if second else [root / "memory"]
        for top in tops:
            # In a container the path may be the host's, while the folder that is mounted is already the group's own.
            inner = top / path.strip("/")
            folder = inner if inner.is_dir() and ".." not in inner.parts else top
            while folder.is_dir():
                yield folder, second
                if folder == top:
                    break
                folder = folder.parent


def _bound(folder: Path, second: bool) -> Bound | None:
    names = ("memory.max", "memory.current", "inactive_file")
    if not second:
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    try:
        limit = (folder / names[0]).read_text().strip()
        if limit == "max" or int(limit) >= _UNLIMITED:
            return None
        used = int((folder / names[1]).read_text())
        statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except OSError:  # no limits are set here, or the group is gone
        return None
    free = int(limit) - used + int(statistics.get(names[2], 0))
    return Bound(f"cgroup {folder}", int(limit) / _MIB, max(0, free) / _MIB)
