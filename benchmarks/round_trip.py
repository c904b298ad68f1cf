"""How long one caller waits for a job that takes no time, in an idle system: a raw list, plain Celery, and ours.

    python -m benchmarks.round_trip [--json]

One question after the other, in turns, so that all three meet the same moments of the machine. The raw list is the
physical limit: one push, one pop and the same back between two processes, and nothing is kept. Each way is measured
with the append-only file synced once a second and at every write, and so is a card of 12 fights with an answer of full
size, which is what the queue adds to the engine's own time; the raw list only sends the card back.
"""

from __future__ import annotations

import secrets
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from benchmarks import contestants
from benchmarks.arena import Arena, Fsync, arena
from benchmarks.cards import card
from benchmarks.raw_list import REPLIES, REQUESTS
from benchmarks.results import Row, report
from ledger.jobs import CheckHealth, Job
from producer.client import Client

COMMAND = "python -m benchmarks.round_trip"
PATIENCE_SECONDS = 60.0

Asks = tuple[Callable[[], object], Callable[[], object], Callable[[], object]]
"""How a raw list, plain Celery and we are asked."""


@dataclass(frozen=True)
class Waits:
    """What callers waited, in milliseconds."""

    raw: list[float]
    celery: list[float]
    ours: list[float]


def measure(*, repeats: int = 5, questions: int = 100) -> list[Row]:
    """Ask so many questions a repeat, each way, under both policies of the append-only file."""
    policies: tuple[Fsync, ...] = ("everysec", "always")
    rows = []
    for appendfsync in policies:
        with _contest(appendfsync) as (place, raw):
            for what, asks in (("no-op", _noops(place, raw)), ("card of 12 fights", _cards(place, raw))):
                turns = _turns(asks, repeats, questions)
                name = f"{what}, appendfsync {appendfsync}"
                rows += [
                    _row(f"{name}, p50 against a raw list", 50, 1 / 2.5, [turn.raw for turn in turns], turns),
                    _row(f"{name}, p50 against plain Celery", 50, 2.0, [turn.celery for turn in turns], turns),
                    _row(f"{name}, p99 against plain Celery", 99, 1.0, [turn.celery for turn in turns], turns),
                ]
    return rows


def _row(name: str, percent: int, wanted: float, theirs: list[list[float]], turns: list[Waits]) -> Row:
    naive = tuple(percentile(waits, percent) for waits in theirs)
    ours = tuple(percentile(turn.ours, percent) for turn in turns)
    return Row(f"round trip, idle: {name}", "ms", naive, ours, wanted, False, COMMAND)


def percentile(values: Sequence[float], percent: int) -> float:
    """Return a percentile of at least two values."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


@contextmanager
def _contest(appendfsync: Fsync) -> Iterator[tuple[Arena, Any]]:
    with ExitStack() as stack:
        place = stack.enter_context(arena(appendfsync=appendfsync))
        stack.enter_context(contestants.raw_list(place.url, Path(stack.enter_context(TemporaryDirectory()))))
        yield place, stack.enter_context(closing(contestants.connection(place.url, 2)))


def _noops(place: Arena, raw: Any) -> Asks:
    task = place.tasks["check_health"]
    return (
        lambda: _ask_raw(raw, "champion"),
        lambda: task.delay("champion", secrets.token_hex(8)).get(timeout=PATIENCE_SECONDS),
        lambda: _ask_us(place, CheckHealth(nonce=secrets.token_hex(8))),
    )


def _cards(place: Arena, raw: Any) -> Asks:
    task, asked = place.tasks["answer_card"], card("asked")
    payload, values = msgspec.json.encode(asked), msgspec.to_builtins(asked)
    return (
        lambda: _ask_raw(raw, payload.decode()),
        lambda: task.delay(values).get(timeout=PATIENCE_SECONDS),
        lambda: _ask_us(place, msgspec.structs.replace(asked, card_id=secrets.token_hex(8))),
    )


def _turns(asks: Asks, repeats: int, questions: int) -> list[Waits]:
    _turn(asks, questions // 5)  # to warm up
    return [_turn(asks, questions) for _ in range(repeats)]


def _turn(asks: Asks, questions: int) -> Waits:
    waits: tuple[list[float], ...] = ([], [], [])
    for _ in range(questions):
        for ask, waited in zip(asks, waits, strict=True):
            start = time.perf_counter()
            ask()
            waited.append((time.perf_counter() - start) * 1000)
    return Waits(*waits)


def _ask_raw(client: Any, content: str) -> None:
    reply_to = f"{REPLIES}{secrets.token_hex(8)}"
    client.lpush(REQUESTS, f"{reply_to} {content}")
    client.brpop(reply_to)


def _ask_us(place: Arena, job: Job) -> None:
    client = Client(place.ledger)
    client.result(client.enqueue(job).job_id, PATIENCE_SECONDS)


if __name__ == "__main__":
    report(measure, __doc__ or "")
