"""The connections of one client, and the time limit of a call over one of them.

redis-py asks the operating system before each command whether the connection is still good, and locks to count
connections out and in, which takes longer than running a small job. Here the next use of a connection that was cut
while idle detects the cut and reconnects; so a command may be sent twice, as with redis-py's own retries.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from contextvars import ContextVar
from functools import cache, partial
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ledger.contracts.failures import LedgerUnavailableError
from ledger.server.error_replies import other_server_may_answer

if TYPE_CHECKING:
    import redis
else:
    from ledger.server import lazy_redis as redis

MAX_THREADS = 250
"""How many threads may use one client at once. Each has one connection for commands and one for waiting."""

MAX_IDLE = 32
"""How many idle connections of a kind are kept open."""

PAUSES_SECONDS = (0.05, 0.1, 0.2)
"""Pauses between the attempts of a call, if the connection was cut or refused."""

Command = tuple[str | int | float | bytes, ...]
_Result = TypeVar("_Result")
_latest: ContextVar[float] = ContextVar("latest", default=float("inf"))


class _Deadline:
    """A block whose calls end by a time; entering a generator takes twice as long, as in `_Borrowed`."""

    __slots__ = ("_before", "_moment_seconds")

    def __init__(self, moment_seconds: float) -> None:
        self._moment_seconds = moment_seconds

    def __enter__(self) -> None:
        self._before = _latest.set(min(_latest.get(), self._moment_seconds))

    def __exit__(self, *error: object) -> None:
        _latest.reset(self._before)


def with_deadline(moment_seconds: float) -> AbstractContextManager[None]:
    """Let every call of a block end by a time of the monotonic clock."""
    return _Deadline(moment_seconds)


def latest_end() -> float:
    """Return by when a call must end (`with_deadline`), a time of the monotonic clock; infinity without a deadline."""
    return _latest.get()


class _Borrowed:
    """A block with a connection of a pool."""

    __slots__ = ("_connection", "_pool")

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool

    def __enter__(self) -> Any:
        self._connection = self._pool._take()
        return self._connection

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is None:
            self._pool._keep(self._connection)
        else:
            self._pool._drop(self._connection)


class ConnectionPool:
    """The connections of one client for one use: at most `MAX_THREADS`, of which `MAX_IDLE` are kept when idle.

    Threads may share it; a forked process opens its own connections. `reply_seconds` is the time limit of one reply. A
    call queries a silent server at most twice, the second time over a new connection, so it ends after twice that time.
    """

    def __init__(self, client: Any, reply_seconds: float = 5.0) -> None:
        self._pool = client.connection_pool
        self._resolves = "resolver" in self._pool.connection_kwargs
        self._reply_seconds = reply_seconds
        self._begin()

    def _begin(self) -> None:
        self._idle: list[Any] = []
        self._open = 0  # idle and borrowed
        self._queueing = 0
        self._changed = threading.Condition()
        self._process = os.getpid()  # set last: the other threads of a fork check it

    def execute(self, *commands: Command, blocks_seconds: float = 0.0) -> list[Any]:
        """Run commands on one connection and return their replies; an error reply is returned, not raised.

        `blocks_seconds` is how long the commands themselves may block on the server.
        """
        with self.borrow() as connection:
            return self.with_retry(connection, partial(_replies, connection, commands), blocks_seconds)

    def borrow(self) -> AbstractContextManager[Any]:
        """Lend a connection for the duration of a block; drop it after an error.

        A block that was interrupted may have left half a reply in it, which must not be read as the next reply.
        """
        return _Borrowed(self)

    def with_retry(self, connection: Any, do: Callable[[], _Result], blocks_seconds: float = 0.0) -> _Result:
        """Run a function on a borrowed connection. If the connection was cut or is silent, reconnect and retry.

        The same applies if the server replies that it is no primary, or not ready: the address may lead to another
        server by now, which is waited for as long as the call may take, and so is any server of a Sentinel or cluster
        URL. Raises redis.RedisError after twice the time of a reply, or if the retries fail.
        """
        if self._resolves:
            do = partial(_confirmed, connection, do)
        one_reply = self._reply_seconds + blocks_seconds
        now_seconds = time.monotonic()
        left_seconds = min(2 * one_reply, _latest.get() - now_seconds)
        latest_seconds = now_seconds + left_seconds
        _allow(connection, min(one_reply, left_seconds / 2))
        for attempt in count():
            try:
                return do()
            except redis.RedisError as error:
                pause_seconds = pause_before_retry(error, attempt, waits=self._resolves)
                if pause_seconds is None:
                    raise
                self._forget(connection)
                left_seconds = latest_seconds - time.monotonic() - pause_seconds
                if left_seconds <= 0:
                    raise
            time.sleep(pause_seconds)
            _allow(connection, min(one_reply, left_seconds))
        raise AssertionError("the loop ends by itself")

    def confirm(self, connection: Any) -> None:
        """Close a borrowed connection and raise redis.ConnectionError if its server is not the primary any more."""
        if self._resolves:
            connection.confirm()

    def close(self) -> None:
        """Close the idle connections."""
        for _ in range(len(self._idle)):
            with suppress(IndexError):  # another thread has taken it
                self._drop(self._idle.pop())

    def _forget(self, connection: Any) -> None:
        """Close a connection, which reconnects when used, and the idle ones, which are no better."""
        connection.disconnect()
        self.close()

    def _take(self) -> Any:
        if self._process != os.getpid():  # a fork: the connections are still its parent's
            self._begin()
        try:
            return self._idle.pop()
        except IndexError:
            return self._new_or_next()

    def _new_or_next(self) -> Any:
        """Return a new connection, which connects when used; at the limit, wait for one to become free."""
        latest_seconds = min(time.monotonic() + 2 * self._reply_seconds, _latest.get())
        with self._changed:
            while self._open >= MAX_THREADS:
                self._queueing += 1
                try:
                    with suppress(IndexError):
                        return self._idle.pop()
                    if not self._changed.wait(max(latest_seconds - time.monotonic(), 0.0)):
                        raise LedgerUnavailableError(
                            f"more than {MAX_THREADS} threads use this connection to the ledger at once: open another"
                        )
                finally:
                    self._queueing -= 1
            self._open += 1
        return self._pool.connection_class(**self._pool.connection_kwargs)

    def _keep(self, connection: Any) -> None:
        if len(self._idle) >= MAX_IDLE:
            self._drop(connection)
            return
        self._idle.append(connection)
        if self._queueing:
            with self._changed:
                self._changed.notify()

    def _drop(self, connection: Any) -> None:
        connection.disconnect()
        with self._changed:
            self._open -= 1
            self._changed.notify()


def _allow(connection: Any, seconds: float) -> None:
    """Set the time limit of each step of the next exchange over a connection, if there is time left."""
    if seconds <= 0:
        raise redis.TimeoutError("no time is left for an answer")
    set_timeout(connection, seconds)


def set_timeout(connection: Any, seconds: float) -> None:
    """Set the time limit of each step of the next exchange over a connection."""
    if connection.socket_timeout != seconds:
        connection.socket_timeout = connection.socket_connect_timeout = seconds
        if connection._sock is not None:
            connection._sock.settimeout(seconds)


def send(connection: Any, commands: Sequence[Command]) -> None:
    """Send commands over a connection; their replies are to be read.

    redis-py looks at each argument before it has hiredis encode a command, which takes longer than encoding it.
    """
    encode = _encoder()
    if encode is None:
        connection.send_packed_command(connection.pack_commands(commands))
        return
    try:
        packed = b"".join(map(encode, commands))
    except TypeError as error:
        raise redis.DataError(str(error)) from error
    connection.send_packed_command((packed,))


@cache
def _encoder() -> Callable[[Command], bytes] | None:
    """Return the function of hiredis that encodes a command; None without hiredis."""
    try:
        from hiredis import pack_command
    except ImportError:
        return None
    return cast("Callable[[Command], bytes]", pack_command)


def _replies(connection: Any, commands: tuple[Command, ...]) -> list[Any]:
    send(connection, commands)
    return [_reply(connection) for _ in commands]


def _reply(connection: Any) -> Any:
    try:
        return connection.read_response()
    except redis.ResponseError as error:
        if other_server_may_answer(error):
            raise
        return error


def _confirmed(connection: Any, do: Callable[[], _Result]) -> _Result:
    """Run a function if the server of a connection is still the primary, before it and after it."""
    with suppress(redis.ConnectionError):  # the connection is closed, and opened by its next use
        connection.confirm()
    result = do()
    connection.confirm()
    return result


def pause_before_retry(error: redis.RedisError, attempt: int, *, waits: bool) -> float | None:
    """Return the pause before the next attempt of a call; None if there is to be none.

    `attempt` counts from 0. A server that cannot be reached is given up after the last of the pauses, unless the call
    `waits`; one that replies that it is no primary, or not ready, is not given up.
    """
    refused = other_server_may_answer(error)
    lost = isinstance(error, redis.ConnectionError | redis.TimeoutError)
    final = isinstance(error, redis.AuthenticationError) or getattr(error, "final", False)
    if not refused and (not lost or final):
        return None
    if attempt < len(PAUSES_SECONDS):
        return PAUSES_SECONDS[attempt]
    return PAUSES_SECONDS[-1] if refused or waits else None
