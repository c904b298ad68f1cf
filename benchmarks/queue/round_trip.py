"""Round-trip time of a no-op job in an idle system: a raw list, plain Celery, and ours.

    python -m benchmarks.queue.round_trip [--json]

Jobs run one at a time, in random order, so that all competitors meet the same load of the machine and none always runs
after the same other one. The raw list is the simplest queue: one push and one pop in each direction between two
processes, without stored state. Each competitor is measured with the append-only file synced once a second and at every
write, with a no-op job and with a card of 12 fights and an answer of full size, which is the time that the queue adds
to the engine's. For cards a raw list that decodes nothing is included. Finally, jobs after 1.5 s of silence.
"""

from __future__ import annotations

import secrets
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import numpy as np

from benchmarks.queue import competitors, raw_list
from benchmarks.queue.cards import card
from benchmarks.queue.environment import Fsync, QueueEnvironment, queue_environment
from benchmarks.results import Row, run_command
from ledger.contracts.jobs import CheckHealth, Job
from producer.client import Client

COMMAND = "python -m benchmarks.queue.round_trip"
TIMEOUT_SECONDS = 60.0
OURS, RAW, BYTES, CELERY = "ours", "a raw list", "a raw list that reads nothing", "plain Celery"
SILENCE_SECONDS = 1.5
COMPARED = ((RAW, 50, 1 / 2.5), (BYTES, 50, None), (CELERY, 50, 2.0), (CELERY, 99, 1.0))
"""Competitor, percentile, and the wanted ratio."""

Asks = dict[str, Callable[[], object]]
"""The call that runs one job, by competitor."""
Waits = dict[str, list[float]]
"""Round-trip times in milliseconds, by competitor."""


def measure(*, repeats: int = 5, questions: int = 100) -> list[Row]:
    """Measure `questions` jobs a repeat with each competitor, under both sync policies of the append-only file."""
    policies: tuple[Fsync, ...] = ("everysec", "always")
    rows = []
    for appendfsync in policies:
        with contest(appendfsync) as (environment, raw):
            for what, asks in (("no-op", noops(environment, raw)), ("card of 12 fights", _cards(environment, raw))):
                turns = _turns(asks, repeats, questions)
                rows += [
                    _row(f"{what}, appendfsync {appendfsync}", against, percent, wanted, turns)
                    for against, percent, wanted in COMPARED
                    if against in asks
                ]
    with contest("everysec") as (environment, raw):
        turns = _turns(noops(environment, raw), repeats, questions // 20, SILENCE_SECONDS)
        what = f"no-op after {SILENCE_SECONDS:g} s of silence"
        rows += [_row(what, RAW, 50, 1 / 2.5, turns), _row(what, CELERY, 50, 2.0, turns)]
    return rows


def _row(what: str, against: str, percent: int, wanted: float | None, turns: list[Waits]) -> Row:
    naive, ours = (tuple(percentile(turn[who], percent) for turn in turns) for who in (against, OURS))
    return Row(f"round trip, idle: {what}, p{percent} against {against}", "ms", naive, ours, wanted, False, COMMAND)


def percentile(values: Sequence[float], percent: int) -> float:
    """Return a percentile of at least two values."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


@contextmanager
def contest(appendfsync: Fsync) -> Iterator[tuple[QueueEnvironment, Any]]:
    """Start all competitors; yield their environment and a connection for the raw list."""
    with ExitStack() as stack:
        environment = stack.enter_context(queue_environment(appendfsync=appendfsync))
        stack.enter_context(competitors.raw_list(environment.url, Path(stack.enter_context(TemporaryDirectory()))))
        yield environment, stack.enter_context(closing(competitors.connection(environment.url, 2)))


def noops(environment: QueueEnvironment, raw: Any) -> Asks:
    """Return the call that runs a no-op job, by competitor."""
    task = environment.tasks["check_health"]
    return {
        RAW: lambda: raw_list.ask(raw, raw_list.NOOPS, {"model": "champion"}),
        CELERY: lambda: task.delay("champion", secrets.token_hex(8)).get(timeout=TIMEOUT_SECONDS),
        OURS: lambda: _ask_us(environment, CheckHealth(nonce=secrets.token_hex(8))),
    }


def _cards(environment: QueueEnvironment, raw: Any) -> Asks:
    task, asked = environment.tasks["answer_card"], card("asked")
    payload, values = msgspec.json.encode(asked), msgspec.to_builtins(asked)
    return {
        RAW: lambda: raw_list.ask(raw, raw_list.CARDS, values),
        BYTES: lambda: raw_list.ask_bytes(raw, raw_list.BYTES, payload),
        CELERY: lambda: task.delay(values).get(timeout=TIMEOUT_SECONDS),
        OURS: lambda: _ask_us(environment, msgspec.structs.replace(asked, card_id=secrets.token_hex(8))),
    }


def _turns(asks: Asks, repeats: int, questions: int, silence_seconds: float = 0.0) -> list[Waits]:
    order = np.random.default_rng(0)
    _turn(asks, 1 + questions // 5, order, silence_seconds)  # warm-up
    return [_turn(asks, questions, order, silence_seconds) for _ in range(repeats)]


def _turn(asks: Asks, questions: int, order: np.random.Generator, silence_seconds: float) -> Waits:
    waits: Waits = {who: [] for who in asks}
    for _ in range(questions):
        for who in order.permutation([*asks]):
            time.sleep(silence_seconds)
            start = time.perf_counter()
            asks[who]()
            waits[who].append((time.perf_counter() - start) * 1000)
    return waits


def _ask_us(environment: QueueEnvironment, job: Job) -> None:
    client = Client(environment.ledger)
    client.result(client.enqueue(job).job_id, TIMEOUT_SECONDS)


if __name__ == "__main__":
    run_command(measure, __doc__ or "")
