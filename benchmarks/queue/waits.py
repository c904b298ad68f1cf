"""Many waits at once: memory and time of a wait on one event loop, and in a thread of its own.

    python -m benchmarks.queue.waits [--json]

A process waits for the outcomes of queued cards of 12 fights: 1,000 tasks of one event loop with `AsyncClient`, and as
many threads as may share a `Client`, 250. When all are subscribed, the resident memory that they have added is divided
by their number. Then all outcomes, of full size, are stored as fast as possible, and the time until the process has
received the last one is divided by their number. Both alternate, each in a new process.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from benchmarks.queue.cards import card, report
from benchmarks.results import Row, run_command
from ledger.async_ledger import AsyncLedger
from ledger.ledger import Claim, Ledger, LedgerSettings
from ledger.server.connection_pool import MAX_THREADS
from ledger.server.embedded_server import EmbeddedServer
from producer.async_client import AsyncClient
from producer.client import Client

COMMAND = "python -m benchmarks.queue.waits"
TASKS = 1_000
TIMEOUT_SECONDS = 120.0
SETTLED_AT_ONCE = 50
WAYS = {"threads": MAX_THREADS, "tasks": TASKS}
"""How many waits each way has at once."""


def measure(*, repeats: int = 5) -> list[Row]:
    """Measure both ways alternately, after a warm-up turn."""
    memory_kb: dict[str, list[float]] = {way: [] for way in WAYS}
    outcome_us: dict[str, list[float]] = {way: [] for way in WAYS}
    with TemporaryDirectory() as folder, EmbeddedServer(Path(folder)) as server:
        for turn in range(repeats + 1):
            for way, count in WAYS.items():
                settings = LedgerSettings(redis_url=server.url, namespace=f"{way}-{turn}")
                with closing(Ledger.connect(settings)) as ledger:
                    kb, us = _turn(ledger, way, count)
                    ledger.server.execute("FLUSHDB")
                if turn:
                    memory_kb[way].append(kb)
                    outcome_us[way].append(us)
    return [
        Row(
            f"{TASKS:,} waits at once on one loop against {MAX_THREADS} in threads: {what}",
            unit,
            tuple(values["threads"]),
            tuple(values["tasks"]),
            wanted,
            False,
            COMMAND,
        )
        for what, unit, values, wanted in (
            ("memory of the process for a wait", "kB", memory_kb, 4.0),
            ("time of an outcome, from the first one stored until the last one received", "us", outcome_us, None),
        )
    ]


def _turn(ledger: Ledger, way: str, count: int) -> tuple[float, float]:
    """Return the memory of a wait in kB, and the time of an outcome in microseconds."""
    cards = [card(f"card {number}") for number in range(count)]
    ids = [receipt.job_id for receipt in ledger.submit_many(cards)]
    answer = report(cards[0])
    claims: list[Claim] = []
    while batch := ledger.claim("predict", f"benchmark#1/{len(claims)}", SETTLED_AT_ONCE):
        claims += batch
    program = [sys.executable, "-m", "benchmarks.queue.waits", way, ledger.settings.namespace]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as waiting:
        if waiting.stdin is None or waiting.stdout is None:
            raise ValueError("the process has no pipes")
        process = psutil.Process(waiting.pid)
        waiting.stdin.write(f"{ledger.settings.redis_url}\n")
        waiting.stdin.flush()
        waiting.stdout.readline()  # it has imported everything, and connected
        before = process.memory_info().rss
        waiting.stdin.write(" ".join(ids) + "\n")
        waiting.stdin.flush()
        news = ledger.server.key("news", "*")
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while len(ledger.server.execute("PUBSUB", "CHANNELS", news)) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"not all of the {count} waits began within {TIMEOUT_SECONDS:g} s")
            time.sleep(0.01)
        added_kb = (process.memory_info().rss - before) / 1024
        start = time.perf_counter()
        for first in range(0, count, SETTLED_AT_ONCE):
            ledger.settle_many([(claim, answer) for claim in claims[first : first + SETTLED_AT_ONCE]])
        if waiting.stdout.readline() != f"{count}\n":
            raise ValueError("not every wait has ended with an outcome")
        seconds = time.perf_counter() - start
    return added_kb / count, seconds / count * 1e6


def _wait_in_threads(settings: LedgerSettings) -> None:
    with Client(Ledger.connect(settings)) as client:
        client.status("warm")
        ids = _job_ids()
        received: list[str] = []

        def wait(job_id: str) -> None:
            received.append(client.wait(job_id, TIMEOUT_SECONDS).job_id)  # a caller does not keep the reports

        threads = [threading.Thread(target=wait, args=(job_id,)) for job_id in ids]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(len(received), flush=True)


async def _wait_in_tasks(settings: LedgerSettings) -> None:
    async with AsyncClient(AsyncLedger(settings)) as client:
        await client.status("warm")
        ids = _job_ids()

        async def wait(job_id: str) -> str:
            return (await client.wait(job_id, TIMEOUT_SECONDS)).job_id

        received = await asyncio.gather(*map(wait, ids))
        print(len(received), flush=True)


def _job_ids() -> list[str]:
    print("ready", flush=True)
    return sys.stdin.readline().split()


def _wait(way: str, namespace: str) -> None:
    """Wait for the jobs that the standard input names."""
    settings = LedgerSettings(redis_url=sys.stdin.readline().strip(), namespace=namespace)
    if way == "threads":
        _wait_in_threads(settings)
    else:
        asyncio.run(_wait_in_tasks(settings))


def main(arguments: Sequence[str]) -> None:
    """Measure and print the results, or be one of the processes that wait."""
    if arguments and arguments[0] in WAYS:
        _wait(*arguments)
    else:
        run_command(measure, __doc__ or "")


if __name__ == "__main__":
    main(sys.argv[1:])
