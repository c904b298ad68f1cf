"""How long one caller waits for a job that has nothing to do, in an idle system: a raw list, plain Celery, and ours.

    python -m benchmarks.round_trip [--json]

One question after the other, in turns, so that all three meet the same moments of the machine. The raw list is the
physical limit: one push, one pop and the same back between two processes, and nothing is kept. Each way is measured
with the append-only file synced once a second and at every write.
"""

from __future__ import annotations

import secrets
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import contestants
from benchmarks.arena import Arena, Fsync, arena
from benchmarks.raw_list import REPLIES, REQUESTS
from benchmarks.results import Row, report
from ledger.jobs import CheckHealth
from producer.client import Client

COMMAND = "python -m benchmarks.round_trip"
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Waits:
    """What callers waited, in milliseconds."""

    raw: list[float]
    celery: list[float]
    ours: list[float]


def measure(*, repeats: int = 5, questions: int = 100) -> list[Row]:
    """Ask so many questions a repeat, each way, under both policies of the append-only file."""
    rows = []
    for appendfsync in ("everysec", "always"):
        turns = _turns(appendfsync, repeats, questions)
        rows += [
            _row("p50", "raw list", appendfsync, 50, 1 / 2.5, [turn.raw for turn in turns], turns),
            _row("p50", "plain Celery", appendfsync, 50, 2.0, [turn.celery for turn in turns], turns),
            _row("p99", "plain Celery", appendfsync, 99, 1.0, [turn.celery for turn in turns], turns),
        ]
    return rows


def _row(
    name: str,
    against: str,
    appendfsync: str,
    percent: int,
    wanted: float,
    theirs: list[list[float]],
    turns: list[Waits],
) -> Row:
    return Row(
        f"no-op round trip, idle, {name}, appendfsync {appendfsync}, against {against}",
        "ms",
        tuple(percentile(waits, percent) for waits in theirs),
        tuple(percentile(turn.ours, percent) for turn in turns),
        wanted,
        False,
        COMMAND,
    )


def percentile(values: Sequence[float], percent: int) -> float:
    """Return a percentile of at least two values."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def _turns(appendfsync: Fsync, repeats: int, questions: int) -> list[Waits]:
    with ExitStack() as stack:
        place = stack.enter_context(arena(appendfsync=appendfsync))
        stack.enter_context(contestants.raw_list(place.url, Path(stack.enter_context(TemporaryDirectory()))))
        raw = stack.enter_context(closing(contestants.connection(place.url, 2)))
        asks: tuple[Callable[[], None], ...] = (
            lambda: _ask_raw(raw),
            lambda: _ask_celery(place),
            lambda: _ask_us(place),
        )
        for ask in asks * 20:  # to warm up
            ask()
        return [_turn(asks, questions) for _ in range(repeats)]


def _turn(asks: tuple[Callable[[], None], ...], questions: int) -> Waits:
    waits: tuple[list[float], ...] = ([], [], [])
    for _ in range(questions):
        for ask, waited in zip(asks, waits, strict=True):
            start = time.perf_counter()
            ask()
            waited.append((time.perf_counter() - start) * 1000)
    return Waits(*waits)


def _ask_raw(client: Any) -> None:
    reply_to = f"{REPLIES}{secrets.token_hex(8)}"
    client.lpush(REQUESTS, f"{reply_to} champion")
    client.brpop(reply_to)


def _ask_celery(place: Arena) -> None:
    place.tasks["check_health"].delay("champion", secrets.token_hex(8)).get(timeout=PATIENCE_SECONDS)


def _ask_us(place: Arena) -> None:
    client = Client(place.ledger)
    client.result(client.enqueue(CheckHealth(nonce=secrets.token_hex(8))).job_id, PATIENCE_SECONDS)


if __name__ == "__main__":
    report(measure, __doc__ or "")
