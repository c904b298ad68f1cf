"""SAQ: https://saq-py.readthedocs.io."""

from __future__ import annotations

from typing import Any

from common import QUEUE_URL, answer
from saq import Queue

queue: Any = Queue.from_url(QUEUE_URL)
asked = 0


async def no_op(context: Any, *, model: str, nonce: str) -> dict[str, Any]:
    """Answer at once."""
    return answer(model)


settings = {"queue": queue, "functions": [no_op], "concurrency": 10}


async def enqueue_one(nonce: str) -> None:
    """Enqueue one job."""
    global asked
    asked += 1
    await queue.enqueue("no_op", model="champion", nonce=nonce)


async def ask(nonce: str) -> Any:
    """Enqueue one job and wait for its result, of which it is notified."""
    global asked
    asked += 1
    job = await queue.enqueue("no_op", model="champion", nonce=nonce)
    await job.refresh(60)
    return job.result


def answered(server: Any) -> int:
    """Return the number of jobs that have left the set of incomplete ones."""
    return asked - int(server.zcard("saq:default:incomplete"))
