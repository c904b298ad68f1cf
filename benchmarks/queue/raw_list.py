"""The simplest queue on Redis: one process pops requests from a list and pushes each answer to another list.

It has no job state, limits or retries: a request that was popped when the process dies is lost. Both sides encode and
decode JSON without validation; requests on `BYTES` are not even decoded. `python -m benchmarks.queue.raw_list URL`.
"""

from __future__ import annotations

import secrets
import sys
from typing import Any

import msgspec
import redis

from benchmarks.queue.cards import card, report

NOOPS, CARDS, BYTES, REPLIES = "raw-noops", "raw-cards", "raw-bytes", "raw-replies:"


def serve(url: str) -> None:
    """Answer requests without end. A request is the name of its reply list, a space, and the content."""
    client: Any = redis.Redis.from_url(url, protocol=2, socket_timeout=None)  # requests may arrive after a long time
    answer = report(card("answered before"))
    answers = {NOOPS.encode(): {"status": "healthy"}, CARDS.encode(): msgspec.to_builtins(answer)}
    written = msgspec.json.encode(answer)
    while True:
        requests, request = client.brpop([NOOPS, CARDS, BYTES])
        reply_to, _, content = request.partition(b" ")
        if requests in answers:
            msgspec.json.decode(content)
            client.lpush(reply_to, msgspec.json.encode(answers[requests]))
        else:
            client.lpush(reply_to, written)


def ask(client: Any, requests: str, content: Any) -> Any:
    """Send a request to one of the lists and return the decoded answer."""
    return msgspec.json.decode(ask_bytes(client, requests, msgspec.json.encode(content)))


def ask_bytes(client: Any, requests: str, content: bytes) -> bytes:
    """Send an encoded request and return the encoded answer."""
    reply_to = f"{REPLIES}{secrets.token_hex(8)}".encode()
    client.lpush(requests, reply_to + b" " + content)
    _, answer = client.brpop(reply_to)
    return bytes(answer)


if __name__ == "__main__":
    serve(sys.argv[1])
