"""Subscriptions to the channels on which the ledger's scripts tell news.

They are kept open, because opening one takes longer than a small job. A hint may get lost: whoever waits looks at the
record itself, once in the same step as the subscription begins, and now and then after that.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import redis
else:
    from ledger import redis_on_demand as redis

MOST_KEPT = 8  # idle connections of one ledger; more may be in use at once

Command = tuple[str, ...]


class Hints:
    """The subscriptions of one client. Threads may share it."""

    def __init__(self, client: Any) -> None:
        self._pool = client.connection_pool
        self._idle: list[Any] = []
        self._process = os.getpid()

    @contextmanager
    def on(self, channel: str, look: Command) -> Iterator[Subscription]:
        """Subscribe for the length of a block. `look` is a command that reads what the news will be about."""
        subscription = self._subscribed(channel, look)
        try:
            yield subscription
        except BaseException:
            self._drop(subscription.connection)
            raise
        if len(self._idle) < MOST_KEPT:
            self._idle.append(subscription.connection)
        else:
            self._drop(subscription.connection)

    def close(self) -> None:
        """Close what is kept."""
        while self._idle:
            self._drop(self._idle.pop())

    def _subscribed(self, channel: str, look: Command) -> Subscription:
        if self._process != os.getpid():  # a fork: the connections are still its parent's
            self._idle, self._process = [], os.getpid()
        if self._idle:
            try:
                return self._subscribed_by(self._idle.pop(), channel, look)
            except (redis.ConnectionError, redis.TimeoutError):
                self.close()  # it was cut while it was idle, and so were the others
        return self._subscribed_by(self._pool.get_connection(), channel, look)

    def _subscribed_by(self, connection: Any, channel: str, look: Command) -> Subscription:
        try:
            return Subscription(connection, channel, look)
        except BaseException:
            self._drop(connection)
            raise

    def _drop(self, connection: Any) -> None:
        connection.disconnect()
        self._pool.release(connection)


class Subscription:
    """A channel that is listened to. `seen` is what `look` answered when that began."""

    def __init__(self, connection: Any, channel: str, look: Command) -> None:
        self.connection = connection
        self._channel = channel.encode()
        self._look = look
        self.seen: list[bytes | None] = self._begin()

    def next(self, timeout_seconds: float) -> bytes | None:
        """Return the next news; None for silence, or where some may have been missed."""
        deadline = time.monotonic() + timeout_seconds
        try:
            while self.connection.can_read(timeout=max(0.0, deadline - time.monotonic())):
                kind, channel, content = self.connection.read_response()
                if kind == b"message" and channel == self._channel:
                    return bytes(content)
        except (redis.ConnectionError, redis.TimeoutError):
            self.connection.disconnect()
            self._begin()
        return None

    def _begin(self) -> list[bytes | None]:
        """Subscribe and look in one step and one round trip; in RESP 2 only a transaction may do both.

        The last subscription of the connection ends with it, and not before: its caller did not wait for that.
        """
        commands = (("UNSUBSCRIBE",), ("MULTI",), ("SUBSCRIBE", self._channel), self._look, ("EXEC",))
        self.connection.send_packed_command(self.connection.pack_commands(commands))
        while self.connection.read_response() != b"OK":  # what the last subscription was told, and its end
            pass
        for _ in ("SUBSCRIBE", "look"):
            self.connection.read_response()  # QUEUED, or the reason against it
        _, seen = self.connection.read_response()
        return list(seen)
