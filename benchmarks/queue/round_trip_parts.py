"""Parts of the round trip of a no-op with idle children, by time and by processor.

    python -m benchmarks.queue.round_trip_parts [--questions 300] [--pause 0.01]

The handler returns when it was called, so a round trip is divided there. Scripts are those of the server's slow log,
which makes them a little slower. Figures are medians, and means for processors.
"""

from __future__ import annotations

import argparse
import hashlib
import secrets
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

import workers.handlers.check_health  # noqa: F401 - loads the engine before the fork, as real pools do
from benchmarks.processes import cpu_seconds
from benchmarks.queue import competitors
from ledger.contracts.jobs import CheckHealth
from ledger.contracts.reports import HealthCheck, HealthReport
from ledger.ledger import Ledger, LedgerSettings
from ledger.server.embedded_server import EmbeddedServer
from ledger.server.lua_scripts import script_texts
from workers.__main__ import main as run_pool
from workers.jobs.context import JobContext

PROGRAM = ("-m", "benchmarks.queue.round_trip_parts", "--serve")
SCRIPTS = ("submit", "claim", "settle")
MAX_LOGGED = 100_000


@dataclass(frozen=True)
class Service:
    """A server and a pool of two children."""

    ledger: Ledger
    server: Any
    processes: dict[str, list[psutil.Process]]


def answer(job: CheckHealth, context: JobContext) -> HealthReport:
    """Return when this was called, on the clock that all processes of the machine share."""
    moment = HealthCheck(name="handler", passed=True, detail=repr(time.monotonic()))
    return HealthReport(status="healthy", checks=(moment,), model=job.model, memory_mb=1.0)


@contextmanager
def service() -> Iterator[Service]:
    """Start both and yield them."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        settings = LedgerSettings(redis_url=stack.enter_context(EmbeddedServer(folder / "server")).url)
        ledger = stack.enter_context(closing(Ledger.connect(settings)))
        pool = stack.enter_context(competitors.our_pool(settings, folder, children=2, program=PROGRAM))
        server = stack.enter_context(closing(competitors.connection(str(settings.redis_url))))
        main, *children = pool.processes()
        processes = {
            "caller": [psutil.Process()],
            "server": [psutil.Process(int(server.info("server")["process_id"]))],
            "children": children,
            "main process of the pool": [main],
        }
        yield Service(ledger, server, processes)


def measure(questions: int, pause_seconds: float) -> dict[str, float]:
    """Return the parts of a round trip in microseconds."""
    with service() as running:
        parts = [_ask(running.ledger, pause_seconds) for _ in range(questions // 5 + questions)][-questions:]
        used = {who: cpu_seconds(processes) for who, processes in running.processes.items()}
        for _ in range(questions):
            _ask(running.ledger, pause_seconds)
        found = {
            f"processor of {who}": (cpu_seconds(processes) - used[who]) / questions * 1e6
            for who, processes in running.processes.items()
        }
        scripts = _script_times(running, questions, pause_seconds)
    names = ("from the call to the receipt", "from the call to the handler", "from the handler to the answer")
    times = {
        name: statistics.median(values) * 1e6 for name, values in zip(names, zip(*parts, strict=True), strict=True)
    }
    return times | scripts | found


def _ask(ledger: Ledger, pause_seconds: float) -> tuple[float, float, float]:
    start = time.monotonic()
    job_id = ledger.submit(CheckHealth(nonce=secrets.token_hex(8))).job_id
    accepted = time.monotonic()
    report = ledger.wait(job_id, 60).report
    end = time.monotonic()
    time.sleep(pause_seconds)
    if not isinstance(report, HealthReport):
        raise TypeError(f"job {job_id} has no report")
    called = float(report.checks[0].detail)
    return accepted - start, called - start, end - called


def _script_times(running: Service, questions: int, pause_seconds: float) -> dict[str, float]:
    names = {
        hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(): name for name, text in script_texts().items()
    }
    running.server.config_set("slowlog-max-len", MAX_LOGGED)
    running.server.config_set("slowlog-log-slower-than", 0)
    for _ in range(questions):
        _ask(running.ledger, pause_seconds)
    running.server.config_set("slowlog-log-slower-than", -1)
    found: dict[str, list[int]] = {}
    for entry in running.server.slowlog_get(MAX_LOGGED):
        command, *arguments = entry["command"].split()
        if command == b"EVALSHA":
            found.setdefault(names.get(arguments[0].decode(), "another"), []).append(entry["duration"])
    return {f"script {name}": statistics.median(found[name]) for name in SCRIPTS}


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--pause", type=float, default=0.01, help="seconds between an answer and the next question")
    options = parser.parse_args()
    for name, microseconds in measure(options.questions, options.pause).items():
        print(f"| {name} | {microseconds:.0f} us |")


if __name__ == "__main__":
    if "--serve" in sys.argv:
        sys.argv.remove("--serve")
        sys.exit(run_pool(handlers={"check_health": answer}))
    main()
