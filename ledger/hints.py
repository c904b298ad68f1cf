"""Subscriptions to the channels on which the ledger's scripts tell news.

They are kept open, because opening one takes longer than a small job. A hint may get lost, and one that comes may be
old: whoever waits reads the record itself.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

MOST_KEPT = 8  # idle connections of one ledger; more may be in use at once


class Hints:
    """The subscriptions of one client. Threads may share it."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._idle: list[Any] = []

    @contextmanager
    def on(self, channel: str) -> Iterator[Subscription]:
        """Subscribe for the length of a block."""
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._client.pubsub()
        try:
            connection.subscribe(channel)
            yield Subscription(connection, channel.encode())
            connection.unsubscribe(channel)  # what it is told meanwhile is passed over by the next who waits
        except BaseException:
            connection.close()
            raise
        if len(self._idle) < MOST_KEPT:
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Close what is kept."""
        while self._idle:
            self._idle.pop().close()


class Subscription:
    """A channel that is listened to."""

    def __init__(self, connection: Any, channel: bytes) -> None:
        self._connection = connection
        self._channel = channel

    def next(self, timeout_seconds: float) -> bytes | None:
        """Return the next message; b"" for the confirmation of the subscription, None for silence."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            hint = self._connection.get_message(timeout=max(0.0, deadline - time.monotonic()))
            if hint is not None and hint["channel"] == self._channel:
                if hint["type"] == "message":
                    return bytes(hint["data"])
                if hint["type"] == "subscribe":
                    return b""
            if time.monotonic() >= deadline:
                return None
