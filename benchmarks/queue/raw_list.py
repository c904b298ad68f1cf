"""The least that a queue on Redis can be: one process pops a list and pushes each answer on another.

No state, no limits, no retries: what is popped when the process dies is lost. Both sides write and read JSON, as they
must to ask something and learn the answer, but check nothing of it; of what is asked on `BYTES` not even that is done.
`python -m benchmarks.queue.raw_list URL`.
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
    """Answer for ever. A request is the name of its reply list, a space, and its content."""
    client: Any = redis.Redis.from_url(url, protocol=2, socket_timeout=None)  # it may wait long for a request
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
    """Ask on one of the lists and return the answer."""
    return msgspec.json.decode(ask_bytes(client, requests, msgspec.json.encode(content)))


def ask_bytes(client: Any, requests: str, content: bytes) -> bytes:
    """Do the same with bytes that are written already, and leave the answer unread."""
    reply_to = f"{REPLIES}{secrets.token_hex(8)}".encode()
    client.lpush(requests, reply_to + b" " + content)
    _, answer = client.brpop(reply_to)
    return bytes(answer)


if __name__ == "__main__":
    serve(sys.argv[1])
