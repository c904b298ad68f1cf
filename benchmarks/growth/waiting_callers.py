"""1 to 10,000 callers that wait on one event loop: memory, and processor time of the caller and of the server."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from benchmarks.growth.steps import RESOLUTION_MB, RESOLUTION_MS, Step
from benchmarks.processes import cpu_seconds
from ledger.contracts.jobs import CheckHealth
from ledger.contracts.reports import HealthReport
from ledger.ledger import Claim, Ledger, LedgerSettings
from ledger.server.embedded_server import EmbeddedServer

SIZES = (1, 10, 100, 1_000, 10_000)
TIMEOUT_SECONDS = 120.0
_AT_ONCE = 50
_HEALTHY = HealthReport(status="healthy", checks=(), memory_mb=1.0)


def measure(sizes: Sequence[int] = SIZES) -> list[Step]:
    """Return the costs at each size, of all waits together."""
    steps = []
    with TemporaryDirectory() as folder, EmbeddedServer(Path(folder)) as server:
        for size in sizes:
            settings = LedgerSettings(redis_url=server.url, namespace=f"waits-{size}")
            with closing(Ledger.connect(settings)) as ledger:
                steps.append(_step(ledger, psutil.Process(server.pid), size))
                ledger.server.execute("FLUSHDB")
    return steps


def _step(ledger: Ledger, server: psutil.Process, size: int) -> Step:
    jobs = [CheckHealth(nonce=str(number)) for number in range(size)]
    ids = []
    for first in range(0, size, 1_000):
        ids += [receipt.job_id for receipt in ledger.submit_many(jobs[first : first + 1_000])]
    claims: list[Claim] = []
    while batch := ledger.claim("predict", f"benchmark#1/{len(claims)}", _AT_ONCE):
        claims += batch
    program = [sys.executable, "-m", "benchmarks.queue.waits", "tasks", ledger.settings.namespace]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as waiting:
        if waiting.stdin is None or waiting.stdout is None:
            raise ValueError("the process has no pipes")
        process = psutil.Process(waiting.pid)
        print(ledger.settings.redis_url, file=waiting.stdin, flush=True)
        waiting.stdout.readline()  # it has imported everything, and connected
        rss, began = process.memory_info().rss, _cpu_ms(process)
        print(" ".join(ids), file=waiting.stdin, flush=True)
        _until_subscribed(ledger, size)
        waits_ms, added_mb = _cpu_ms(process) - began, (process.memory_info().rss - rss) / 2**20
        caller, before = _cpu_ms(process), _cpu_ms(server)
        for first in range(0, size, _AT_ONCE):
            ledger.settle_many([(claim, _HEALTHY) for claim in claims[first : first + _AT_ONCE]])
        if waiting.stdout.readline() != f"{size}\n":
            raise ValueError("not every wait has ended with an outcome")
        caller_ms, server_ms = _cpu_ms(process) - caller, _cpu_ms(server) - before
    return Step(
        size,
        {
            "memory of the waits, MB": max(added_mb, RESOLUTION_MB),
            "begin them, ms of the caller": max(waits_ms, RESOLUTION_MS),
            "receive the outcomes, ms of the caller": max(caller_ms, RESOLUTION_MS),
            "settle and publish them, ms of the server": max(server_ms, RESOLUTION_MS),
        },
    )


def _until_subscribed(ledger: Ledger, size: int) -> None:
    news, deadline = ledger.server.key("news", "*"), time.monotonic() + TIMEOUT_SECONDS
    while len(ledger.server.execute("PUBSUB", "CHANNELS", news)) < size:
        if time.monotonic() > deadline:
            raise TimeoutError(f"not all of the {size} waits began within {TIMEOUT_SECONDS:g} s")
        time.sleep(0.05)


def _cpu_ms(process: psutil.Process) -> float:
    return 1e3 * cpu_seconds([process])
