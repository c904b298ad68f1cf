"""Measurement of one queue: a server of its own, its two worker processes, and its producer."""

from __future__ import annotations

import json
import os
import secrets
import signal
import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import psutil

from benchmarks.peers.queues import Queue
from benchmarks.queue.competitors import ROOT, connection
from ledger.server.embedded_server import EmbeddedServer

PROGRAMS = Path(__file__).parent / "programs"
DRIVER = Path(__file__).parent / "driver.py"
PAUSE_SECONDS = 0.01  # between two questions to idle workers
MAX_ASK_SECONDS = 8.0
SETTLE_SECONDS = 5.0  # after the start, before idle processors are measured


@dataclass(frozen=True)
class Sizes:
    """Sizes of one turn: jobs of a backlog, questions, and the time of the idle measurement in seconds."""

    jobs: int = 3_000
    questions: int = 200
    idle_seconds: float = 20.0


@dataclass
class Service:
    """The running processes of one queue."""

    queue: Queue
    server: Any
    server_pid: int
    workers: list[subprocess.Popen[bytes]]
    driver: subprocess.Popen[str]

    def call(self, name: str, *arguments: Any) -> Any:
        """Let the producer do something and return its answer. Raises ValueError if the producer has ended."""
        if self.driver.stdin is None or self.driver.stdout is None:
            raise ValueError("the producer has no pipes")
        self.driver.stdin.write(json.dumps({"call": name, "arguments": arguments}) + "\n")
        self.driver.stdin.flush()
        line = self.driver.stdout.readline()
        if not line:
            raise ValueError(f"the producer of {self.queue.name} has ended: see its log")
        return json.loads(line)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop the workers for the duration of a block."""
        self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(signal.SIGCONT)

    def cpu_seconds(self) -> float:
        """Return the processor time of the workers and the server so far, also of children that have ended."""
        processes = [psutil.Process(self.server_pid)]
        for worker in self.workers:
            main = psutil.Process(worker.pid)
            processes += [main, *main.children(recursive=True)]
        used = 0.0
        for process in processes:
            with suppress(psutil.NoSuchProcess):  # a child that has ended counts with its parent
                used += sum(process.cpu_times()[:4])
        return used

    def _signal(self, number: int) -> None:
        for worker in self.workers:
            os.killpg(worker.pid, number)


@contextmanager
def running(queue: Queue, bin_folder: Path) -> Iterator[Service]:
    """Start a server, the workers of a queue and its producer; yield them when they answer."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        url = stack.enter_context(EmbeddedServer(folder / "server")).url.rstrip("/").removesuffix("/0")
        server = stack.enter_context(closing(connection(url)))
        variables = {
            **os.environ,
            "PEERS_URL": url,
            "PEERS_VARIANT": queue.variant,
            "CORNERMAN_REDIS_URL": url,
            "CORNERMAN_DATA": str(folder),
            "TMPDIR": str(folder),  # the workers are killed
            "PYTHONPATH": f"{PROGRAMS}:{ROOT}" if queue.requirements is None else str(PROGRAMS),
        }
        names = {"python": str(bin_folder / "python"), "bin": str(bin_folder), "url": url}
        workers = []
        for number, command in enumerate(queue.commands):
            log = stack.enter_context((folder / f"worker-{number}.log").open("wb"))
            parts = [part.format(**names) for part in command]
            worker = subprocess.Popen(
                parts, env=variables, cwd=PROGRAMS, stdout=log, stderr=log, start_new_session=True
            )
            stack.callback(_kill, worker)
            workers.append(worker)
        log = stack.enter_context((folder / "driver.log").open("wb"))
        driver = stack.enter_context(
            subprocess.Popen(
                [names["python"], str(DRIVER), queue.program],
                env=variables,
                cwd=PROGRAMS,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        )
        stack.callback(driver.kill)
        service = Service(queue, server, int(server.info("server")["process_id"]), workers, driver)
        try:
            service.call("ready", 20)
        except (ValueError, OSError) as error:
            logs = "\n".join(file.read_text(errors="replace")[-2_000:] for file in sorted(folder.glob("*.log")))
            raise RuntimeError(f"{queue.name} does not answer: {error}\n{logs}") from error
        yield service


def measure_idle(services: Sequence[Service], seconds: float) -> dict[str, float]:
    """Return how much of a processor workers and server use while nothing happens, in percent, by queue.

    All are measured at the same time: processor time, unlike time, is not that of the neighbours.
    """
    time.sleep(SETTLE_SECONDS)
    before, start = [service.cpu_seconds() for service in services], time.monotonic()
    time.sleep(seconds)
    passed = time.monotonic() - start
    return {
        service.queue.name: (service.cpu_seconds() - used) / passed * 100
        for service, used in zip(services, before, strict=True)
    }


def measure_work(service: Service, sizes: Sizes) -> dict[str, float]:
    """Return the figures of one turn of one queue."""
    waits = service.call("ask", sizes.questions, PAUSE_SECONDS, MAX_ASK_SECONDS)
    found = {"round trip p50": statistics.median(waits), "round trip p99": float(np.percentile(waits, 99))}
    jobs = round(sizes.jobs * service.queue.jobs_share)
    answered = service.call("answered")
    with service.paused():
        found["enqueued one by one"] = jobs / service.call("enqueue", _nonces(jobs))
        used = service.cpu_seconds()
    found["backlog"] = jobs / service.call("wait_for", answered + jobs)
    found["processor"] = (service.cpu_seconds() - used) / jobs * 1e6
    if service.call("can_enqueue_many"):
        with service.paused():
            found["enqueued in bulk"] = jobs / service.call("enqueue_many", _nonces(jobs))
    return found


def _nonces(count: int) -> list[str]:
    return [secrets.token_hex(8) for _ in range(count)]


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
