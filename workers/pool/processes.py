"""Whether a child of the pool is alive; to be asked in the pool's main process."""

from __future__ import annotations

import os

import psutil


def is_alive(pid: int) -> bool:
    """Return True if a child runs: not gone, not a zombie, and not a stranger that reuses its process id."""
    try:
        process = psutil.Process(pid)
        return process.ppid() == os.getpid() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
