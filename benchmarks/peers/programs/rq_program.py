"""RQ: https://python-rq.org/docs/."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from common import QUEUE_URL, answer
from redis import Redis
from rq import Queue

queue = Queue(connection=Redis.from_url(QUEUE_URL))


def no_op(model: str, nonce: str) -> dict[str, Any]:
    """Answer at once."""
    return answer(model)


def enqueue_one(nonce: str) -> None:
    """Enqueue one job."""
    queue.enqueue("rq_program.no_op", "champion", nonce)


def enqueue_many(nonces: Sequence[str]) -> None:
    """Enqueue jobs with one call."""
    queue.enqueue_many([Queue.prepare_data("rq_program.no_op", ("champion", nonce)) for nonce in nonces])


def ask(nonce: str) -> Any:
    """Enqueue one job and wait for its result."""
    found = queue.enqueue("rq_program.no_op", "champion", nonce).latest_result(timeout=60)
    return None if found is None else found.return_value


def answered(server: Any) -> int:
    """Return the number of finished jobs that are kept."""
    return int(server.zcard("rq:finished:default"))
