"""Worker pools as child processes: started by their real command, restarted when they exit, stopped for good.

Covers processes only. What a pool does inside, and how a job survives its end, is the business of `workers`.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from ledger.contracts.codec import refuse
from producer.errors import NotInstalledError

POOLS = ("predict", "train", "monitor")
STOP_SECONDS = 10.0  # and CORNERMAN_FINISH_SECONDS where it is set
FINISH_VARIABLE = "CORNERMAN_FINISH_SECONDS"
RESTART_SECONDS = 0.5
RESTART_SECONDS_MAX = 30.0
# A pool that ran this long had started well: its next restart does not wait.
SETTLED_SECONDS = 60.0
# How `python -m workers` ends when a setting makes no sense.
BAD_SETTING = 78
PR_SET_PDEATHSIG = 1  # from linux/prctl.h


def require(extra: str, *modules: str) -> None:
    """Make sure that modules can be imported, without importing them. Raises NotInstalledError."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise NotInstalledError(f"{module} is not installed; get it with: pip install 'cornerman[{extra}]'")


def pool_command(pool: str, concurrency: int | None) -> list[str]:
    """Return the command that is a pool. Raises NotInstalledError."""
    require("workers", "celery", "structlog", "xgboost", "workers")
    command = [sys.executable, "-m", "workers", "--pool", pool]
    return command if concurrency is None else [*command, "--concurrency", str(concurrency)]


def restart_delay_seconds(quick_exits: int) -> float:
    """Return how long to wait before a restart: twice as long after each exit in a row that came quickly."""
    return min(RESTART_SECONDS_MAX, RESTART_SECONDS * 2.0 ** min(quick_exits, 16)) if quick_exits else 0.0


@dataclass
class Pool:
    """One pool's process and its history. What it says goes to `output`, by default where ours goes."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    output: IO[bytes] | None = None
    process: subprocess.Popen[bytes] | None = None
    quick_exits: int = 0
    started_at: float = 0.0
    restart_at: float = 0.0

    def start(self) -> None:
        """Start the process, in a session of its own: a Ctrl-C in the terminal is ours to pass on."""
        self.started_at = time.monotonic()
        self.process = subprocess.Popen(
            self.command,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=self.output,
            start_new_session=True,
            preexec_fn=end_with_parent,
        )

    def tend(self) -> str | None:
        """Look after the process: restart it when it is due. Returns what happened, or None.

        Raises:
            JobRefused: the pool has a setting that makes no sense, so that starting it again would not help.
        """
        now = time.monotonic()
        if self.process is None:
            if now >= self.restart_at:
                self.start()
            return None
        code = self.process.poll()
        if code is None:
            return None
        self._sweep()
        self.process = None
        if code == BAD_SETTING:
            raise refuse(f"the {self.name} pool does not accept a setting; it says above which")
        self.quick_exits = 0 if now - self.started_at > SETTLED_SECONDS else self.quick_exits + 1
        delay_seconds = restart_delay_seconds(self.quick_exits)
        self.restart_at = now + delay_seconds
        return f"the {self.name} pool exited with {code}; starting it again in {delay_seconds:g} s"

    def ask_to_stop(self) -> None:
        """Ask the process to finish: it takes nothing new and gives back what it cannot finish."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def stop(self, within_seconds: float) -> None:
        """Wait for the process to end after `ask_to_stop`; then end it and whatever it started."""
        if self.process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(max(0.0, within_seconds))
            self._sweep()
            self.process.wait()
            self.process = None

    def _sweep(self) -> None:
        """Kill what is left of the pool's process group."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)


def stop_seconds() -> float:
    """Return how long a pool may take to stop: what its jobs are given to finish is a setting of its own."""
    with contextlib.suppress(ValueError):  # the pool itself refuses what is no number
        return STOP_SECONDS + float(os.environ.get(FINISH_VARIABLE) or 0.0)
    return STOP_SECONDS


def stop_all(pools: Sequence[Pool]) -> None:
    """Stop pools side by side."""
    for pool in pools:
        pool.ask_to_stop()
    end = time.monotonic() + stop_seconds()
    for pool in pools:
        pool.stop(end - time.monotonic())


def end_with_parent() -> None:
    """In the child, where there is Linux: have the kernel send a SIGTERM when the parent dies, however it dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
