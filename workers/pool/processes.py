"""Which of a pool's children live. Asked in its main process, whose children they are."""

from __future__ import annotations

import os

import psutil


def lives(pid: int) -> bool:
    """Whether a child runs: not gone, not a zombie, and not a stranger who was given its number."""
    try:
        process = psutil.Process(pid)
        return process.ppid() == os.getpid() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
