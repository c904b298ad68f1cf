"""Celery: https://docs.celeryq.dev/en/stable/getting-started/first-steps-with-celery.html."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis
from celery import Celery, group
from common import QUEUE_URL, RESULTS_URL, answer

app = Celery("celery_program", broker=QUEUE_URL, backend=RESULTS_URL)
# userguide/optimizing.html: for short tasks 50 or 150 messages that are fetched ahead
app.conf.worker_prefetch_multiplier = 64


@app.task
def no_op(model: str, nonce: str) -> dict[str, Any]:
    """Answer at once."""
    return answer(model)


def enqueue_one(nonce: str) -> None:
    """Enqueue one job, and end the subscription to its result."""
    no_op.delay("champion", nonce).forget()


def enqueue_many(nonces: Sequence[str]) -> None:
    """Enqueue jobs as one group."""
    group(no_op.s("champion", nonce) for nonce in nonces).apply_async()


def ask(nonce: str) -> Any:
    """Enqueue one job and wait for its result."""
    return no_op.delay("champion", nonce).get(timeout=60)


def answered(server: Any) -> int:
    """Return the number of kept results."""
    with redis.Redis.from_url(RESULTS_URL) as kept:
        return int(kept.dbsize())
