"""Processor of a service without a job, and its first answer after silence: plain Celery and ours.

    python -m benchmarks.pools.idle [--seconds 60] [--windows 1] [--answers 5] [--json]

Plain Celery has two children and is started as its documentation says; the whole service is what `cornerman up` starts:
server, three pools, and the process that restarts them. The same pools also run alone, as under systemd or Kubernetes.
So do a gateway without a request, and a feed runner that leads and whose provider lists no event. Each has a server of
its own, whose time counts, and all are measured in the same windows: processor time, and how often their threads were
woken. Then no-op jobs, each after the same silence of all.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil

from benchmarks.gateway import servers
from benchmarks.processes import cpu_seconds, wake_ups
from benchmarks.queue import competitors, round_trip
from benchmarks.results import Row, document, table
from ledger.ledger import Ledger
from ledger.server.embedded_server import EmbeddedServer, find_running
from ledger.settings import LedgerSettings
from tests.support.scripted_provider import KEY, scripted_provider

COMMAND = "python -m benchmarks.pools.idle"
POOLS = ("predict", "train", "monitor")
CELERY, UP, ALONE = "plain Celery", "the whole service", "three pools and a server"
GATEWAY, FEED = "a gateway and a server", "a feed runner and a server"
WANTED = {UP: 0.5, ALONE: 0.5, GATEWAY: None, FEED: None}
SETTLE_SECONDS = 10.0
"""Time after the start of all, for first looks that do not come again."""
STOP_SECONDS = 30.0

Processes = Callable[[], Sequence[psutil.Process]]


def measure(*, seconds: float = 20.0, windows: int = 2, answers: int = 3) -> list[Row]:
    """Measure windows of this length, and answers after as long a silence, unless there are to be none."""
    return [*measure_processor(seconds, windows), *(measure_answers(seconds, answers) if answers else ())]


def measure_processor(seconds: float, windows: int) -> list[Row]:
    """Measure what each takes while nothing happens: hundredths of a core, and wake-ups of threads a second."""
    with ExitStack() as stack:
        sides = {name: stack.enter_context(start()) for name, start in _STARTS.items()}
        time.sleep(SETTLE_SECONDS)
        shares: dict[str, list[float]] = {name: [] for name in sides}
        wakes: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(windows):
            before = {name: (cpu_seconds(find()), wake_ups(find())) for name, find in sides.items()}
            started = time.monotonic()
            time.sleep(seconds)
            passed = time.monotonic() - started
            for name, find in sides.items():
                used, woken = before[name]
                shares[name].append(100 * (cpu_seconds(find()) - used) / passed)
                wakes[name].append((wake_ups(find()) - woken) / passed)
    return [
        Row(
            f"{what} of an idle service over {seconds:g} s: {name} against {CELERY}",
            unit,
            tuple(values[CELERY]),
            tuple(values[name]),
            wanted if values is shares else None,
            False,
            COMMAND,
        )
        for what, unit, values in (("processor", "% of a core", shares), ("wake-ups", "a second", wakes))
        for name, wanted in WANTED.items()
    ]


def measure_answers(seconds: float, answers: int) -> list[Row]:
    """Measure no-op jobs, each after this silence, in random order."""
    order = np.random.default_rng(0)
    with round_trip.contest("everysec") as (environment, raw):
        asks = round_trip.noops(environment, raw)
        waits: round_trip.Waits = {who: [] for who in asks}
        for turn in range(answers + 1):
            time.sleep(seconds)
            for who in order.permutation([*asks]):
                start = time.perf_counter()
                asks[who]()
                if turn:  # the first opens connections
                    waits[who].append((time.perf_counter() - start) * 1000)
    what = f"round trip, idle: no-op after {seconds:g} s of silence against"
    return [
        Row(f"{what} {who}", "ms", tuple(waits[who]), tuple(waits[round_trip.OURS]), wanted, False, COMMAND)
        for who, wanted in ((round_trip.CELERY, 1 / 0.43), (round_trip.RAW, None))
    ]


@contextmanager
def _celery() -> Iterator[Processes]:
    with (
        TemporaryDirectory() as name,
        EmbeddedServer(Path(name) / "server") as server,
        competitors.plain_celery(server.url, Path(name), children=2, options=()) as (workers, _),
    ):
        yield lambda: [psutil.Process(server.pid), *workers.processes()]


@contextmanager
def _service() -> Iterator[Processes]:
    with TemporaryDirectory() as name:
        folder = Path(name)
        variables = {"CORNERMAN_DATA": name, "CORNERMAN_REDIS_URL": ""}
        process = _start(["producer.cli.main", "up"], folder / "up.log", variables)
        try:
            competitors.wait_until(lambda: find_running(folder) is not None, "server of cornerman up")
            _await_pools(LedgerSettings(redis_url=find_running(folder)))
            yield lambda: _tree(process)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(STOP_SECONDS)


@contextmanager
def _pools() -> Iterator[Processes]:
    with TemporaryDirectory() as name, EmbeddedServer(Path(name) / "server") as server:
        variables = {"CORNERMAN_DATA": name, "CORNERMAN_REDIS_URL": server.url}
        pools = [_start(["workers", "--pool", pool], Path(name) / f"{pool}.log", variables) for pool in POOLS]
        try:
            _await_pools(LedgerSettings(redis_url=server.url))
            yield lambda: [psutil.Process(server.pid), *(each for pool in pools for each in _tree(pool))]
        finally:
            for pool in pools:
                pool.send_signal(signal.SIGTERM)
            for pool in pools:
                pool.wait(STOP_SECONDS)


@contextmanager
def _gateway() -> Iterator[Processes]:
    with (
        TemporaryDirectory() as name,
        EmbeddedServer(Path(name) / "server") as server,
        servers.our_gateway(LedgerSettings(redis_url=server.url), Path(name)) as gateway,
    ):
        yield lambda: [psutil.Process(server.pid), psutil.Process(gateway.pid)]


@contextmanager
def _feed_runner() -> Iterator[Processes]:
    with TemporaryDirectory() as name, EmbeddedServer(Path(name) / "server") as server, scripted_provider() as provider:
        variables = {
            "CORNERMAN_REDIS_URL": server.url,
            "CORNERMAN_FEED_URL": provider.url,
            "CORNERMAN_FEED_API_KEY": KEY,
        }
        runner = _start(["producer.cli.main", "feed", "run", "odds-api"], Path(name) / "feed.log", variables)
        try:
            competitors.wait_until(lambda: provider.asked, "first poll of the feed runner")
            yield lambda: [psutil.Process(server.pid), psutil.Process(runner.pid)]
        finally:
            runner.send_signal(signal.SIGTERM)
            runner.wait(STOP_SECONDS)


_STARTS = {CELERY: _celery, UP: _service, ALONE: _pools, GATEWAY: _gateway, FEED: _feed_runner}


def _start(module: list[str], log: Path, variables: dict[str, str]) -> subprocess.Popen[bytes]:
    with log.open("wb") as stream:
        return subprocess.Popen(
            [sys.executable, "-m", *module],
            cwd=competitors.ROOT,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
        )


def _tree(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    main = psutil.Process(process.pid)
    return [main, *main.children(recursive=True)]


def _await_pools(settings: LedgerSettings) -> None:
    """Wait until all pools run with all of their children."""
    with closing(Ledger.connect(settings)) as ledger:

        def ready() -> bool:
            pools = ledger.pools.alive()
            return len(pools) == len(POOLS) and all(pool["children"] == pool["wanted"] > 0 for pool in pools)

        competitors.wait_until(ready, "three pools")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print the rows."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="length of a window, and of a silence")
    parser.add_argument("--windows", type=int, default=1)
    parser.add_argument("--answers", type=int, default=5, help="0: measure no answers")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    rows = measure(seconds=given.seconds, windows=given.windows, answers=given.answers)
    print(json.dumps(document(rows), indent=1) if given.json else table(rows))


if __name__ == "__main__":
    main()
