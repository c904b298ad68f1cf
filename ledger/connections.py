"""Connections that stay open between uses, and the short way of a command over one.

redis-py's own way asks the operating system before each command whether the connection is still good, counts it out
and in, and locks for both, which takes a small job longer than being worked on. Here a connection that was cut while it
was idle is found out by its use and opened anew: what goes this way may be said twice, as with redis-py's own retries.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import redis
else:
    from ledger import redis_on_demand as redis

Command = tuple[str | int | float | bytes, ...]
_Result = TypeVar("_Result")


class Connections:
    """The connections of one client that are not in use: as many as ever were at once, as in redis-py's own pool.

    Threads may share it; a forked process opens its own.
    """

    def __init__(self, client: Any) -> None:
        self._pool = client.connection_pool
        self._idle: list[Any] = []
        self._process = os.getpid()

    def ask(self, *commands: Command) -> list[Any]:
        """Run commands on one connection and return their replies; what the server refused replies with an error."""
        with self.lent() as connection:
            return self.insist(connection, partial(_replies, connection, commands))

    @contextmanager
    def lent(self) -> Iterator[Any]:
        """Lend a connection for the length of a block. It is kept after it, but not after an error.

        Whatever broke off the block, half a reply may be left in it, which nobody must take for the next.
        """
        connection = self._take()
        try:
            yield connection
        except BaseException:
            self._drop(connection)
            raise
        self._idle.append(connection)

    def insist(self, connection: Any, do: Callable[[], _Result]) -> _Result:
        """Do something with a lent connection; where it was cut or is silent, again, and then as its settings say."""
        try:
            return do()
        except (redis.ConnectionError, redis.TimeoutError):
            connection.disconnect()  # it connects when it is used
            self.close()  # it was cut or forgotten while it was idle, perhaps, and then so were the others
        return connection.retry.call_with_retry(do, lambda error: connection.disconnect())  # type: ignore[no-any-return]

    def close(self) -> None:
        """Close what is kept."""
        kept, self._idle = self._idle, []
        while kept:
            self._drop(kept.pop())

    def _take(self) -> Any:
        if self._process != os.getpid():  # a fork: the connections are still its parent's
            self._idle, self._process = [], os.getpid()
        try:
            return self._idle.pop()
        except IndexError:
            connection = self._pool.get_connection()
        # It connects again under the eyes of `lent`: a signal in the pool's own handshake leaves a reply unread in it.
        connection.disconnect()
        return connection

    def _drop(self, connection: Any) -> None:
        connection.disconnect()
        self._pool.release(connection)


def _replies(connection: Any, commands: tuple[Command, ...]) -> list[Any]:
    connection.send_packed_command(connection.pack_commands(commands))
    return [_reply(connection) for _ in commands]


def _reply(connection: Any) -> Any:
    try:
        return connection.read_response()
    except redis.ResponseError as error:
        return error
