"""huey: https://huey.readthedocs.io/en/latest/guide.html."""

from __future__ import annotations

from typing import Any

from common import QUEUE_URL, VARIANT, answer
from huey import RedisHuey

huey = RedisHuey("peers", url=QUEUE_URL, notify_result=VARIANT == "notified")


@huey.task()
def no_op(model: str, nonce: str) -> dict[str, Any]:
    """Answer at once."""
    return answer(model)


def enqueue_one(nonce: str) -> None:
    """Enqueue one job."""
    no_op("champion", nonce)


def ask(nonce: str) -> Any:
    """Enqueue one job and wait for its result, which is kept."""
    return no_op("champion", nonce)(blocking=True, preserve=True)


def answered(server: Any) -> int:
    """Return the number of kept results."""
    return int(server.hlen("huey.results.peers"))
