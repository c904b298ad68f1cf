"""taskiq with taskiq-redis: https://github.com/taskiq-python/taskiq-redis."""

from __future__ import annotations

from typing import Any

import redis
from common import QUEUE_URL, RESULTS_URL, VARIANT, answer
from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend, RedisStreamBroker

results: Any = RedisAsyncResultBackend(redis_url=RESULTS_URL, result_ex_time=1000)
broker = (ListQueueBroker if VARIANT == "lists" else RedisStreamBroker)(url=QUEUE_URL).with_result_backend(results)


@broker.task
async def no_op(model: str, nonce: str) -> dict[str, Any]:
    """Answer at once."""
    return answer(model)


async def start() -> None:
    """Connect as a producer."""
    await broker.startup()


async def enqueue_one(nonce: str) -> None:
    """Enqueue one job."""
    await no_op.kiq("champion", nonce)


async def ask(nonce: str) -> Any:
    """Enqueue one job and wait for its result: it is polled, by default every 0.2 s."""
    task = await no_op.kiq("champion", nonce)
    return (await task.wait_result(check_interval=0.001, timeout=60)).return_value


def answered(server: Any) -> int:
    """Return the number of kept results."""
    with redis.Redis.from_url(RESULTS_URL) as kept:
        return int(kept.dbsize())
