"""Competitors of the queue benchmarks: a raw list, plain Celery and our pool, on one embedded server.

Each is a context manager that yields when its workers are ready. Celery uses the server's database 1, the raw list
database 2.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import redis

from benchmarks.queue import naive_celery
from ledger.ledger import Ledger, LedgerSettings

ROOT = Path(__file__).parents[2]
NOOP_POOL = ("-m", "benchmarks.queue.noop_pool")
REAL_POOL = ("-m", "workers")
QUIET = ("--without-gossip", "--without-mingle", "--without-heartbeat")
"""Options of a Celery worker that looks after no other workers."""
TIMEOUT_SECONDS = 120.0
_LOOK_SECONDS = 0.002


class TooSlowError(Exception):
    """A competitor did not start, or finish, within the timeout."""


@dataclass(frozen=True)
class WorkerProcesses:
    """A main process and its children, which can be paused while a backlog is submitted."""

    process: subprocess.Popen[bytes]

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop all processes for the duration of a block."""
        os.killpg(self.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self.process.pid, signal.SIGCONT)

    def processes(self) -> list[psutil.Process]:
        """Return the main process and its children."""
        main = psutil.Process(self.process.pid)
        return [main, *main.children(recursive=True)]

    def cpu_seconds(self) -> float:
        """Return the processor time used by all processes, including children that have ended, in seconds."""
        return sum(sum(process.cpu_times()[:4]) for process in self.processes())

    def memory_mb(self) -> float:
        """Return the memory of all processes in MiB, with shared pages counted once (PSS)."""
        return sum(process.memory_full_info().pss for process in self.processes()) / 2**20


@contextmanager
def our_pool(
    settings: LedgerSettings, folder: Path, *, children: int, program: tuple[str, ...], node: str = "here"
) -> Iterator[WorkerProcesses]:
    """Start a pool on the queue `predict`, as on a machine of this name."""
    variables = {
        "CORNERMAN_REDIS_URL": str(settings.redis_url),
        "CORNERMAN_NAMESPACE": settings.namespace,
        "CORNERMAN_DATA": str(folder),
        "CORNERMAN_NODE": node,
    }
    command = [sys.executable, *program, "--pool", "predict", "--concurrency", str(children)]
    with closing(Ledger.connect(settings)) as ledger, run_workers(command, folder / "pool.log", variables) as workers:
        wait_until(lambda: len(workers.processes()) > children and _all_children(ledger, node, children), "our pool")
        yield workers


def _all_children(ledger: Ledger, node: str, children: int) -> bool:
    return any((pool["node"], pool["children"]) == (node, children) for pool in ledger.pools.alive())


@contextmanager
def plain_celery(
    redis_url: str, folder: Path, *, children: int, options: tuple[str, ...] = QUIET
) -> Iterator[tuple[WorkerProcesses, Any]]:
    """Start a naive Celery worker; yield it and its tasks by name, for calls from this process."""
    url = database(redis_url, 1)
    tasks = naive_celery.create_app(url).tasks
    command = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "benchmarks.queue.naive_celery",
        "worker",
        "-c",
        str(children),
        *options,
    ]
    with run_workers(command, folder / "celery.log", {naive_celery.URL_VARIABLE: url}) as workers:
        tasks["check_health"].delay("champion", "ready?").get(timeout=TIMEOUT_SECONDS)
        yield workers, tasks


@contextmanager
def raw_list(redis_url: str, folder: Path) -> Iterator[WorkerProcesses]:
    """Start the process that serves the raw list."""
    command = [sys.executable, "-m", "benchmarks.queue.raw_list", database(redis_url, 2)]
    with run_workers(command, folder / "raw.log", {}) as workers:
        yield workers


def database(redis_url: str, number: int) -> str:
    """Return the address of another database of the same server."""
    return f"{redis_url.rstrip('/').removesuffix('/0')}/{number}"


def connection(redis_url: str, number: int = 0) -> Any:
    """Return a client of one of the server's databases."""
    return redis.Redis.from_url(database(redis_url, number), protocol=2, socket_timeout=None)


def wait_until(condition: Callable[[], object], what: str, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
    """Poll until the condition is true. Raises TooSlowError with the name `what`."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TooSlowError(f"{what}: not done in {timeout_seconds:.0f} s")
        time.sleep(_LOOK_SECONDS)


@contextmanager
def run_workers(command: list[str], log: Path, variables: dict[str, str]) -> Iterator[WorkerProcesses]:
    """Run worker processes for the duration of a block."""
    # They are killed in the end: what they leave is removed with the log's folder.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(log.parent), **variables}
    with log.open("wb") as stream:
        # A process group of its own, so that all processes can be paused and killed together.
        process = subprocess.Popen(command, env=environment, stdout=stream, stderr=stream, start_new_session=True)
    try:
        yield WorkerProcesses(process)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
