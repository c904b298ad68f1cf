"""Subscriptions to the channels on which the ledger's scripts publish.

They are kept open, because opening one takes longer than a small job. A message may get lost: a waiter reads the record
itself, once in the same step as it subscribes, and at intervals after that.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ledger.server.base_server import checked_replies
from ledger.server.connection_pool import Command, ConnectionPool, send, set_timeout

if TYPE_CHECKING:
    import redis
else:
    from ledger.server import lazy_redis as redis

_LEAST_SECONDS = 0.001  # a socket with a timeout of 0 does not wait at all


@contextmanager
def subscribe(
    connections: ConnectionPool, channel: str, query: Command, readers: ConnectionPool | None = None
) -> Iterator[Subscription]:
    """Subscribe for the duration of a block. `query` is a command that reads the record behind the messages.

    A connection of a subscription runs no other commands: `connections` must be used for subscriptions only. In a
    cluster the channel is a sharded one, and `readers` are the connections for other commands.
    """
    with connections.borrow() as connection:
        yield Subscription(connections, connection, channel, query, readers)


class Subscription:
    """A subscribed channel. `initial_reply` is the reply of the reading command at the time of subscribing."""

    def __init__(
        self,
        connections: ConnectionPool,
        connection: Any,
        channel: str,
        query: Command,
        readers: ConnectionPool | None,
    ) -> None:
        self._connections = connections
        self.connection = connection
        self._channel = channel.encode()
        self._query = query
        self._sharded = readers is not None
        self.initial_reply: list[bytes | None] = connections.with_retry(connection, self._begin)
        if readers is not None:
            [self.initial_reply] = checked_replies(readers.execute(query))

    def next_message(self, timeout_seconds: float) -> bytes | None:
        """Return the next message; None after the timeout, or if messages may have been missed."""
        deadline = time.monotonic() + timeout_seconds
        try:
            while True:
                try:  # the read itself waits: `can_read` asks the operating system three times more
                    set_timeout(self.connection, max(_LEAST_SECONDS, deadline - time.monotonic()))
                    kind, channel, content = self.connection.read_response(disconnect_on_error=False)
                except redis.TimeoutError:
                    break
                if channel == self._channel:
                    if kind == b"sunsubscribe":  # the slot is on another node now
                        raise redis.ConnectionError("the subscription was ended by the server")
                    return bytes(content)
            self._connections.confirm(self.connection)
        except (redis.ConnectionError, redis.TimeoutError):
            self.connection.disconnect()
            self._connections.with_retry(self.connection, self._begin)
        return None

    def _begin(self) -> list[bytes | None]:
        """Subscribe and read in one step and one round trip; in RESP 2 only a transaction can do both.

        The previous subscription of the connection ends here, and not earlier: its caller did not wait for that. A
        sharded channel cannot be subscribed in a transaction.
        """
        if self._sharded:
            return self._begin_sharded()
        commands = (("UNSUBSCRIBE",), ("MULTI",), ("SUBSCRIBE", self._channel), self._query, ("EXEC",))
        send(self.connection, commands)
        while self.connection.read_response() != b"OK":  # messages of the previous subscription, and its end
            pass
        for _ in ("SUBSCRIBE", "query"):
            self.connection.read_response()  # QUEUED, or the reason against it
        _, seen = self.connection.read_response()
        return list(seen)

    def _begin_sharded(self) -> list[bytes | None]:
        commands = (("SUNSUBSCRIBE",), ("SSUBSCRIBE", self._channel))
        send(self.connection, commands)
        while self.connection.read_response()[:2] != [b"ssubscribe", self._channel]:
            pass
        return []
