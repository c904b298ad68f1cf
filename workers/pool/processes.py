"""Whether a child of the pool is alive, and when it ends; to be asked in the pool's main process."""

from __future__ import annotations

import os
from collections.abc import Iterable

import psutil


def is_alive(pid: int) -> bool:
    """Return True if a child runs: not gone, not a zombie, and not a stranger that reuses its process id."""
    if not hasattr(os, "waitid"):
        return _is_alive(pid)
    try:
        # WNOWAIT: it stays a zombie, which Celery waits for.
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    except ChildProcessError:
        return False


def _is_alive(pid: int) -> bool:
    try:
        process = psutil.Process(pid)
        return process.ppid() == os.getpid() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class ProcessSentinels:
    """File descriptors of processes, each readable as soon as its process has ended. Used by one thread."""

    def __init__(self) -> None:
        self._opened: dict[int, int] = {}

    def watch(self, pids: Iterable[int]) -> bool:
        """Watch these processes and no others; return False if that is impossible: their end has to be looked for.

        Linux alone has such descriptors; a process that is gone has none.
        """
        wanted = set(pids)
        for pid in self._opened.keys() - wanted:
            os.close(self._opened.pop(pid))
        try:
            for pid in wanted - self._opened.keys():
                self._opened[pid] = os.pidfd_open(pid)
        except (AttributeError, OSError):
            return False
        return True

    @property
    def descriptors(self) -> dict[int, int]:
        """The descriptors by process id."""
        return dict(self._opened)
