"""Processor time that the enqueueing of cards of 12 fights and of small jobs takes, by its parts.

    python -m benchmarks.growth.accepted_jobs [--jobs 10000]

The parts of the producer are measured one by one, warm, and are less than the whole. The server's time is that of each
thousand of jobs, of which none is done, and that of reading the arguments of a call which is then discarded.
`GLIBC_TUNABLES= ` before it starts the server with the allocator as it comes.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from benchmarks.queue import competitors
from benchmarks.queue.cards import card
from ledger.compression.stored_values import NEWEST_FORMAT, compress
from ledger.contracts import codec
from ledger.contracts.jobs import CheckHealth, Job
from ledger.jobs.job_entries import enter
from ledger.ledger import Ledger, LedgerSettings
from ledger.server.embedded_server import EmbeddedServer
from producer.client import Client

AT_ONCE, STEP, REPEATS = 500, 1_000, 7


def main() -> None:
    """Print the microseconds a job."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10_000)
    jobs = parser.parse_args().jobs
    for part, microseconds in _parts([card(f"card {number}") for number in range(AT_ONCE)]).items():
        print(f"card, producer, {part:<20}{microseconds:6.1f} us")
    for what, make in (("card", card), ("small job", lambda name: CheckHealth(nonce=name))):
        producer, server, reading, server_mb = _whole(make, jobs)
        print(f"{what}, producer, whole: {median(producer):.1f} us")
        print(f"{what}, server, each thousand: {' '.join(f'{part:.0f}' for part in server)} us")
        print(f"{what}, server, reading of arguments: {reading:.1f} us")
        print(f"{what}, server, resident memory: {server_mb:.0f} MB")


def _parts(jobs: Sequence[Job]) -> dict[str, float]:
    written = [codec.encode(job) for job in jobs]
    read = [codec.decode_job(payload) for payload in written]
    payloads = [codec.encode_canonical(job) for job in read]
    return {
        "write JSON": _microseconds(codec.encode, jobs),
        "read and check": _microseconds(codec.decode_job, written),
        "of that, check": _microseconds(codec.check_job, read),
        "write canonical JSON": _microseconds(codec.encode_canonical, read),
        "digest": _microseconds(codec.content_digest, payloads),
        "compress": _microseconds(lambda payload: compress(payload, fast=True), payloads),
    }


def _microseconds(do: Callable[[Any], Any], values: Sequence[Any]) -> float:
    found = []
    for _ in range(REPEATS):
        start = time.process_time()
        for value in values:
            do(value)
        found.append((time.process_time() - start) / len(values) * 1e6)
    return median(found)


def _whole(make: Callable[[str], Job], jobs: int) -> tuple[list[float], list[float], float, float]:
    """Return the microseconds a job of the producer and of the server, for each thousand jobs; of reading; the MB."""
    producer, server = [], []
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedServer(Path(folder) / "server") as embedded,
        closing(Ledger.connect(LedgerSettings(redis_url=embedded.url))) as ledger,
        closing(competitors.connection(embedded.url)) as connection,
    ):
        client = Client(ledger)
        for first in range(0, jobs, STEP):
            batch = [make(str(number)) for number in range(first, first + STEP)]
            before, start = _server_seconds(connection), time.process_time()
            for at in range(0, STEP, AT_ONCE):
                client.enqueue_many(batch[at : at + AT_ONCE])
            producer.append((time.process_time() - start) / STEP * 1e6)
            server.append((_server_seconds(connection) - before) / STEP * 1e6)
        server_mb = psutil.Process(embedded.pid).memory_info().rss / 2**20
        reading = _reading([make(str(number)) for number in range(AT_ONCE)], connection)
    return producer, server, reading, server_mb


def _reading(jobs: Sequence[Job], connection: Any) -> float:
    """Return the server's microseconds a job for reading the arguments of a call that is discarded."""
    entries = [enter(job, None, NEWEST_FORMAT) for job in jobs]
    arguments = [part for entry in entries for part in (*entry.arguments(entry.stored), "", "")]
    one, found = connection.connection_pool.get_connection(), []
    for _ in range(REPEATS):
        before = _server_seconds(connection)
        for command in (("MULTI",), ("EVAL", "return 1", 0, *arguments), ("DISCARD",)):
            one.send_command(*command)
            one.read_response()
        found.append((_server_seconds(connection) - before) / len(jobs) * 1e6)
    return median(found)


def _server_seconds(connection: Any) -> float:
    used = connection.info("cpu")
    return float(used["used_cpu_user"] + used["used_cpu_sys"])


if __name__ == "__main__":
    main()
