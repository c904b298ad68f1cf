"""The least that a queue on Redis can be: one process pops a list and pushes each answer on another.

No state, no limits, no retries: what is popped when the process dies is lost. `python -m benchmarks.raw_list URL`.
"""

from __future__ import annotations

import sys
from typing import Any

import redis

REQUESTS, REPLIES = "raw-requests", "raw-replies:"


def serve(url: str) -> None:
    """Answer for ever. A request is the name of its reply list, a space, and its content."""
    client: Any = redis.Redis.from_url(url, protocol=2, socket_timeout=None)  # it may wait long for a request
    while True:
        _, request = client.brpop(REQUESTS)
        reply_to, _, content = request.partition(b" ")
        client.lpush(reply_to, content)


if __name__ == "__main__":
    serve(sys.argv[1])
