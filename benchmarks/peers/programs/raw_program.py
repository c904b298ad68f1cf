"""A raw list: requests are pushed to a list, and answers to a list of each request. It promises nothing.

`python raw_program.py` serves requests.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import redis
from common import QUEUE_URL, answer

REQUESTS, ANSWERED = "raw:requests", "raw:answered"
client: Any = redis.Redis.from_url(QUEUE_URL, protocol=2, socket_timeout=None)


def enqueue_one(nonce: str) -> None:
    """Push one request."""
    client.lpush(REQUESTS, _request(nonce))


def enqueue_many(nonces: Sequence[str]) -> None:
    """Push requests with one command."""
    client.lpush(REQUESTS, *map(_request, nonces))


def ask(nonce: str) -> Any:
    """Push one request and wait for its answer."""
    client.lpush(REQUESTS, _request(nonce))
    return json.loads(client.brpop(f"raw:{nonce}")[1])


def answered(server: Any) -> int:
    """Return the number of answers."""
    return int(server.get(ANSWERED) or 0)


def serve() -> None:
    """Answer requests without end."""
    while True:
        request = json.loads(client.brpop(REQUESTS)[1])
        with client.pipeline(transaction=False) as pipe:
            pipe.lpush(f"raw:{request['nonce']}", json.dumps(answer(request["model"])))
            pipe.incr(ANSWERED).execute()


def _request(nonce: str) -> str:
    return json.dumps({"model": "champion", "nonce": nonce})


if __name__ == "__main__":
    serve()
