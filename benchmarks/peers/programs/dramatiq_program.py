"""Dramatiq: https://dramatiq.io/guide.html."""

from __future__ import annotations

from typing import Any

import dramatiq
import redis
from common import QUEUE_URL, RESULTS_URL, answer
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

broker = RedisBroker(url=QUEUE_URL)
broker.add_middleware(Results(backend=RedisBackend(url=RESULTS_URL)))
dramatiq.set_broker(broker)


@dramatiq.actor(store_results=True)
def no_op(model: str, nonce: str) -> dict[str, Any]:
    """Answer at once."""
    return answer(model)


def enqueue_one(nonce: str) -> None:
    """Enqueue one job."""
    no_op.send("champion", nonce)


def ask(nonce: str) -> Any:
    """Enqueue one job and wait for its result."""
    return no_op.send("champion", nonce).get_result(block=True, timeout=60_000)


def answered(server: Any) -> int:
    """Return the number of kept results."""
    with redis.Redis.from_url(RESULTS_URL) as kept:
        return int(kept.dbsize())
