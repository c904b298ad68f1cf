"""Memory of a gateway with many followers of its event stream, all of whom see every outcome.

    python -m benchmarks.gateway.followers [--json]

2,000 connections follow the stream while 10,000 health checks are settled. The followers run in a process of their own.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import secrets
import tempfile
import time
from contextlib import ExitStack, closing
from functools import partial
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple, cast
from urllib.parse import urlsplit

import psutil
import uvloop

from benchmarks.gateway import servers
from benchmarks.processes import cpu_seconds
from benchmarks.queue import competitors
from benchmarks.results import Row, run_command
from ledger.contracts.jobs import CheckHealth
from ledger.contracts.reports import HealthReport
from ledger.ledger import Ledger
from ledger.server.embedded_server import EmbeddedServer
from ledger.settings import LedgerSettings

COMMAND = "python -m benchmarks.gateway.followers"
LIMIT_KB = 40.0
TIMEOUT_SECONDS = 120.0
_EVENT = b"\nevent: outcome\n"
_BATCH = 500


class Followed(NamedTuple):
    """What followers cost a gateway.

    `seconds` passed from the first outcome on until every follower had seen the last. The others are processor times:
    to accept all followers, to send them all outcomes, to keep them for `rest_seconds` without one, and until all have
    left.
    """

    grown_kb: float
    seconds: float
    accepted: float
    sent: float
    rested: float
    left: float


def measure(*, followers: int = 2000, outcomes: int = 10_000) -> list[Row]:
    """Measure the resident memory of the gateway without followers and its peak with them."""
    seen = observe(followers=followers, outcomes=outcomes)
    note = f"{followers:,} followers saw each of {outcomes:,} outcomes within {seen.seconds:.0f} s; {COMMAND}"
    each = seen.grown_kb / followers
    return [Row("memory of a follower, against the limit", "kB", (LIMIT_KB,), (max(each, 0.1),), 1.0, False, note)]


def observe(*, followers: int, outcomes: int, rest_seconds: float = 0.0) -> Followed:
    """Let a gateway serve followers while outcomes come, then while none come, then let the followers leave."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(EmbeddedServer(folder / "server")).url
        settings = LedgerSettings(redis_url=url)
        ledger = stack.enter_context(closing(Ledger.connect(settings)))
        gateway = stack.enter_context(servers.our_gateway(settings, folder))
        process = psutil.Process(gateway.pid)
        _settle(ledger, outcomes)  # what is kept in memory for followers is there before they come
        time.sleep(1.0)
        before, files = process.memory_info().rss, process.num_fds()
        here, there = multiprocessing.Pipe()
        child = multiprocessing.get_context("spawn").Process(
            target=follow, args=(gateway.url, ledger.latest_place(), followers, outcomes, there), daemon=True
        )
        used = [cpu_seconds([process])]
        child.start()
        _expect(here, "open")
        used.append(cpu_seconds([process]))
        started = time.perf_counter()
        _settle(ledger, outcomes)
        peak = before
        while not here.poll(0.05):
            peak = max(peak, process.memory_info().rss)
        seen = here.recv()
        seconds = time.perf_counter() - started
        used.append(cpu_seconds([process]))
        time.sleep(rest_seconds)
        used.append(cpu_seconds([process]))
        here.send("leave")
        child.join()
        competitors.wait_until(lambda: process.num_fds() <= files, "end of the followers' connections")
        time.sleep(1.0)
        used.append(cpu_seconds([process]))
    if seen != [outcomes] * followers:
        raise RuntimeError(f"followers saw {min(seen)} to {max(seen)} of {outcomes} outcomes")
    return Followed((peak - before) / 1024, seconds, *(later - earlier for earlier, later in pairwise(used)))


def _settle(ledger: Ledger, outcomes: int) -> None:
    report = HealthReport(status="healthy", checks=(), memory_mb=1.0)
    for _ in range(outcomes // _BATCH):
        ledger.submit_many([CheckHealth(nonce=secrets.token_hex(8)) for _ in range(_BATCH)])
        claims = ledger.claim("predict", "benchmark#1", _BATCH)
        ledger.settle_many([(claim, report) for claim in claims])


def _expect(pipe: Connection, word: str) -> None:
    if not pipe.poll(TIMEOUT_SECONDS) or pipe.recv() != word:
        raise RuntimeError(f"the followers did not say {word!r}")


def follow(url: str, place: str, followers: int, outcomes: int, pipe: Connection) -> None:
    """Open connections after a place, say so, send how many outcomes each has seen, and stay until a message comes."""
    uvloop.run(_follow(url, place, followers, outcomes, pipe))


async def _follow(url: str, place: str, followers: int, outcomes: int, pipe: Connection) -> None:
    loop, address = asyncio.get_running_loop(), urlsplit(url)
    readers = [Follower(place, outcomes) for _ in range(followers)]
    for reader in readers:
        await loop.create_connection(partial(_same, reader), str(address.hostname), int(address.port or 80))
        await reader.opened.wait()
    pipe.send("open")
    async with asyncio.timeout(TIMEOUT_SECONDS):
        await asyncio.gather(*(reader.complete.wait() for reader in readers))
    pipe.send([reader.seen for reader in readers])
    await asyncio.to_thread(pipe.recv)


def _same(reader: Follower) -> Follower:
    return reader


class Follower(asyncio.Protocol):
    """One connection that counts the events it is sent."""

    def __init__(self, place: str, wanted: int) -> None:
        self._place = place
        self._wanted = wanted
        self._tail = b""
        self.seen = 0
        self.opened, self.complete = asyncio.Event(), asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the stream."""
        cast(asyncio.Transport, transport).write(
            f"GET /v1/outcomes/events?after={self._place} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        """Count the events; one may be split between two pieces."""
        self.opened.set()
        text = self._tail + data
        self.seen += text.count(_EVENT)
        self._tail = text[-len(_EVENT) + 1 :]
        if self.seen >= self._wanted:
            self.complete.set()


if __name__ == "__main__":
    run_command(measure, __doc__ or "")
