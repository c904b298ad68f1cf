"""Round trip of a card over HTTP, against the Python client.

    python -m benchmarks.gateway.round_trip [--json]

One card of 12 fights at a time, in an idle system: submitted and waited for, with the client of this process and over
one HTTP connection that is kept open, in random order.
"""

from __future__ import annotations

import http.client
import secrets
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import numpy as np

from benchmarks.gateway import servers
from benchmarks.queue.cards import card
from benchmarks.queue.environment import queue_environment
from benchmarks.results import Row, run_command
from ledger.contracts.jobs import PredictCard
from producer.client import Client

COMMAND = "python -m benchmarks.gateway.round_trip"
TIMEOUT_SECONDS = 60.0
MAX_ADDED_MS = 1.2


def measure(*, repeats: int = 5, cards: int = 200) -> list[Row]:
    """Measure `cards` round trips a repeat in both ways."""
    with ExitStack() as stack:
        environment = stack.enter_context(queue_environment())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        gateway = stack.enter_context(servers.our_gateway(environment.ledger.settings, folder))
        connection = stack.enter_context(closing(http.client.HTTPConnection(urlsplit(gateway.url).netloc)))
        client = Client(environment.ledger)
        ways: tuple[Callable[[PredictCard], None], ...] = (
            lambda asked: _by_client(client, asked),
            lambda asked: _over_http(connection, asked),
        )
        order = np.random.default_rng(0)
        turns = [_turn(ways, cards, order) for _ in range(repeats + 1)][1:]  # the first one warms up
    direct, over_http = (tuple(statistics.median(turn[way]) for turn in turns) for way in range(2))
    added = statistics.median(over_http) - statistics.median(direct)
    note = f"adds {added:.2f} ms, at most {MAX_ADDED_MS} wanted; {COMMAND}"
    return [Row("round trip of a card over HTTP, p50 against the client", "ms", direct, over_http, None, False, note)]


def _turn(ways: tuple[Callable[[PredictCard], None], ...], cards: int, order: np.random.Generator) -> list[list[float]]:
    waits: list[list[float]] = [[] for _ in ways]
    for _ in range(cards):
        for way in order.permutation(len(ways)):
            asked = card(secrets.token_hex(8))
            start = time.perf_counter()
            ways[way](asked)
            waits[way].append((time.perf_counter() - start) * 1000)
    return waits


def _by_client(client: Client, asked: PredictCard) -> None:
    client.result(client.enqueue(asked), TIMEOUT_SECONDS)


def _over_http(connection: http.client.HTTPConnection, asked: PredictCard) -> None:
    connection.request("POST", "/v1/jobs", msgspec.json.encode(asked), {"Content-Type": "application/json"})
    job_id = msgspec.json.decode(connection.getresponse().read())["job_id"]
    connection.request("GET", f"/v1/jobs/{job_id}/outcome?wait=30")
    response = connection.getresponse()
    outcome = response.read()
    if response.status != 200 or b'"card_report"' not in outcome:
        raise RuntimeError(f"{response.status}: {outcome[:200]!r}")


if __name__ == "__main__":
    run_command(measure, __doc__ or "")
