"""Worker pools and the gateway as child processes: start, restart after an exit, stop.

Contains the process management only; what runs inside is in `workers` and `gateway`.
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

from ledger.contracts.codec import job_refused
from producer.errors import NotInstalledError

POOLS = ("predict", "train", "monitor")
STOP_SECONDS = 10.0  # in addition to CORNERMAN_SHUTDOWN_GRACE_SECONDS
GRACE_VARIABLE = "CORNERMAN_SHUTDOWN_GRACE_SECONDS"
RESTART_SECONDS = 0.5
RESTART_SECONDS_MAX = 30.0
# A process that ran this long restarts without a delay.
STABLE_SECONDS = 60.0
# Exit code of `python -m workers` and `python -m gateway` for an invalid setting.
BAD_SETTING = 78
PR_SET_PDEATHSIG = 1  # from linux/prctl.h


def require_modules(extra: str, *modules: str) -> None:
    """Check that modules are installed, without importing them. Raises NotInstalledError."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise NotInstalledError(f"{module} is not installed; get it with: pip install 'cornerman[{extra}]'")


def pool_command(pool: str, concurrency: int | None) -> list[str]:
    """Return the command line of a pool. Raises NotInstalledError."""
    require_modules("workers", "celery", "structlog", "xgboost", "workers")
    command = [sys.executable, "-m", "workers", "--pool", pool]
    return command if concurrency is None else [*command, "--concurrency", str(concurrency)]


def feed_command(source: str) -> list[str]:
    """Return the command line of a feed runner. Raises NotInstalledError."""
    require_modules("feed", "httpx", "prometheus_client", "stamina")
    return [sys.executable, "-m", "producer.cli.main", "feed", "run", source]


def bets_command() -> list[str]:
    """Return the command line of a process that places paper bets."""
    return [sys.executable, "-m", "producer.cli.main", "bets", "follow", "--json"]


def gateway_command() -> list[str]:
    """Return the command line of a gateway. Raises NotInstalledError."""
    require_modules("http", "litestar", "uvicorn", "gateway")
    return [sys.executable, "-m", "gateway"]


def relay_command() -> list[str]:
    """Return the command line of a relay of webhooks. Raises NotInstalledError."""
    require_modules("http", "httpcore", "prometheus_client", "structlog", "gateway")
    return [sys.executable, "-m", "gateway.webhooks"]


def restart_delay_seconds(quick_exits: int) -> float:
    """Return the delay before a restart, which doubles with each quick exit in a row."""
    return min(RESTART_SECONDS_MAX, RESTART_SECONDS * 2.0 ** min(quick_exits, 16)) if quick_exits else 0.0


@dataclass
class ServiceProcess:
    """One process of the service, with its restarts; writes to `output`, by default to this process's output.

    `refused` is its exit code for an invalid setting. After one of the `final_codes` it is not restarted.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    output: IO[bytes] | None = None
    refused: int = BAD_SETTING
    final_codes: tuple[int, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    quick_exits: int = 0
    started_at: float = 0.0
    restart_at: float = 0.0
    ended: bool = False

    def start(self) -> None:
        """Start the process in its own session, so that Ctrl-C reaches only this process."""
        self.started_at = time.monotonic()
        self.process = subprocess.Popen(
            self.command,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=self.output,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )

    @property
    def waits_to_restart(self) -> bool:
        """True if the process has exited and is to be started at `restart_at`."""
        return self.process is None and not self.ended

    def restart_if_exited(self) -> str | None:
        """Restart the process if it has exited and the delay is over; return a note about a new exit, or None.

        Raises JobRefusedError if the process exited because of an invalid setting: a restart would fail too.
        """
        now = time.monotonic()
        if self.process is None:
            if now >= self.restart_at and not self.ended:
                self.start()
            return None
        code = self.process.poll()
        if code is None:
            return None
        self._sweep()
        self.process = None
        if code in self.final_codes:
            self.ended = True
            return f"the {self.name} has come to its end"
        if code == self.refused:
            raise job_refused(f"the {self.name} rejects a setting; its message above names it")
        self.quick_exits = 0 if now - self.started_at > STABLE_SECONDS else self.quick_exits + 1
        delay_seconds = restart_delay_seconds(self.quick_exits)
        self.restart_at = now + delay_seconds
        return f"the {self.name} exited with {code}; restarting in {delay_seconds:g} s"

    def request_stop(self) -> None:
        """Send SIGTERM: a pool claims no more jobs and returns unfinished ones to the queue."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def stop(self, within_seconds: float) -> None:
        """Wait for the process to exit after `request_stop`; then kill it and its process group."""
        if self.process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(max(0.0, within_seconds))
            self._sweep()
            self.process.wait()
            self.process = None

    def _sweep(self) -> None:
        """Kill the remaining processes of its process group."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)


def stop_timeout_seconds() -> float:
    """Return the time limit for stopping a pool, which includes the setting for running jobs."""
    with contextlib.suppress(ValueError):  # the pool itself rejects an invalid number
        return STOP_SECONDS + float(os.environ.get(GRACE_VARIABLE) or 0.0)
    return STOP_SECONDS


def stop_all(processes: Sequence[ServiceProcess]) -> None:
    """Stop processes concurrently."""
    for process in processes:
        process.request_stop()
    end = time.monotonic() + stop_timeout_seconds()
    for process in processes:
        process.stop(end - time.monotonic())


def die_with_parent() -> None:
    """Have the kernel send SIGTERM to this child when its parent dies; Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
