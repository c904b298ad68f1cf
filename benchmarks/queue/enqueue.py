"""Rate at which one producer enqueues jobs, compared with Celery's `delay`.

    python -m benchmarks.queue.enqueue [--json]

Ours is `Client.enqueue_many`: validated, with ids from the content, and accepted all or none; for cards also that of
`AsyncClient` with two calls under way, so that one is checked while the server accepts the other. The naive way is
`delay` as the documentation shows it; Celery has no call for several jobs. All workers are paused meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from benchmarks.queue.cards import card
from benchmarks.queue.environment import queue_environment
from benchmarks.results import Row, run_command
from ledger.async_ledger import AsyncLedger
from ledger.contracts.jobs import CheckHealth, Job
from ledger.settings import LedgerSettings
from producer.async_client import AsyncClient
from producer.client import Client

COMMAND = "python -m benchmarks.queue.enqueue"
AT_ONCE = 500  # jobs a call


def measure(*, repeats: int = 5, jobs: int = 5_000, naive_jobs: int = 500) -> list[Row]:
    """Measure the ways alternately, for small jobs and for cards of 12 fights, after a warm-up turn."""
    rates: dict[str, list[float]] = {name: [] for name in ("job", "card", "card of two", "naive job", "naive card")}
    with queue_environment() as environment, environment.ours.paused(), environment.celery.paused():
        client = Client(environment.ledger)
        for turn in range(repeats + 1):
            found = {
                "naive job": _delays(
                    environment.tasks["check_health"].delay, [("champion", str(n)) for n in range(naive_jobs)]
                ),
                "job": _enqueues(client, [CheckHealth(nonce=f"{turn}-{number}") for number in range(jobs)]),
                "naive card": _delays(environment.tasks["count_fights"].delay, _naive_cards(turn, naive_jobs // 2)),
                "card": _enqueues(client, [card(f"card {turn}-{number}") for number in range(jobs // 5)]),
                "card of two": asyncio.run(
                    _enqueues_two_at_once(
                        client.ledger.settings,
                        [card(f"card of two {turn}-{number}") for number in range(jobs)],
                    )
                ),
            }
            if turn:
                for name, rate in found.items():
                    rates[name].append(rate)
    return [
        Row(
            f"{what} enqueued by one producer, {AT_ONCE} a call{suffix}",
            "jobs/s",
            tuple(rates[f"naive {naive}"]),
            tuple(rates[name]),
            wanted,
            True,
            COMMAND,
        )
        for name, naive, what, suffix, wanted in (
            ("job", "job", "small jobs", "", 10.0),
            ("card", "card", "cards of 12 fights", "", 12.0),
            ("card of two", "card", "cards of 12 fights", ", two calls under way", 12.0),
        )
    ]


def _enqueues(client: Client, jobs: Sequence[Job]) -> float:
    start = time.perf_counter()
    for first in range(0, len(jobs), AT_ONCE):
        client.enqueue_many(jobs[first : first + AT_ONCE])
    return len(jobs) / (time.perf_counter() - start)


async def _enqueues_two_at_once(settings: LedgerSettings, jobs: Sequence[Job]) -> float:
    starts = iter(range(0, len(jobs), AT_ONCE))

    async def enqueue_in_turn(client: AsyncClient) -> None:
        for first in starts:
            await client.enqueue_many(jobs[first : first + AT_ONCE])

    async with AsyncClient(AsyncLedger(settings)) as client:
        start = time.perf_counter()
        await asyncio.gather(enqueue_in_turn(client), enqueue_in_turn(client))
        return len(jobs) / (time.perf_counter() - start)


def _delays(delay: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> float:
    start = time.perf_counter()
    for values in arguments:
        delay(*values)
    return len(arguments) / (time.perf_counter() - start)


def _naive_cards(turn: int, count: int) -> list[tuple[Any]]:
    return [(msgspec.to_builtins(card(f"card {turn}-{number}")),) for number in range(count)]


if __name__ == "__main__":
    run_command(measure, __doc__ or "")
