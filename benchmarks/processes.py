"""What the kernel has counted of running processes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import psutil


def cpu_seconds(processes: Sequence[psutil.Process]) -> float:
    """Return the processor time of all threads of processes, from the scheduler: ticks of 10 ms would be too coarse."""
    times = (
        int((task / "schedstat").read_text().split()[0])
        for process in processes
        for task in Path(f"/proc/{process.pid}/task").iterdir()
    )
    return sum(times) / 1e9


def wake_ups(processes: Sequence[psutil.Process]) -> int:
    """Return how often all threads of processes have waited for something: their voluntary context switches."""
    return sum(
        int((task / "status").read_text().partition("\nvoluntary_ctxt_switches:")[2].split()[0])
        for process in processes
        for task in Path(f"/proc/{process.pid}/task").iterdir()
    )
