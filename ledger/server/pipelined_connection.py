"""One asyncio connection that many calls share: commands are sent at once, and replies are matched in order."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from copy import copy
from typing import TYPE_CHECKING, Any

from ledger.server.connection_pool import Command
from ledger.server.error_replies import other_server_may_answer

if TYPE_CHECKING:
    import redis
else:
    from ledger.server import lazy_redis as redis

OnMessage = Callable[[bytes, bytes | None], None]
_GRACE_SECONDS = 0.02
_MAX_BATCHED_BYTES = 16 * 2**10
"""A larger call does not wait for the end of the turn: other tasks may prepare calls of that size before it."""
_PUSHED = (b"message", b"smessage", b"unsubscribe", b"sunsubscribe")
"""Kinds of replies on a connection of subscriptions that no call waits for."""


class _Call:
    """A call whose replies have not all arrived."""

    __slots__ = ("future", "latest_seconds", "missing", "replies")

    def __init__(self, future: asyncio.Future[list[Any]], replies: int, latest_seconds: float) -> None:
        self.future = future
        self.missing = replies
        self.latest_seconds = latest_seconds
        self.replies: list[Any] = []


class PipelinedConnection:
    """A redis-py connection with a task that reads it; `pack_commands` encodes commands.

    Commands of one call are sent together, so no other call comes between them. A call that is cancelled leaves its
    replies to be read and dropped. A connection that is silent for longer than the oldest call allows is closed, and
    all its calls fail: they may be repeated over another one. `on_message` gets the channel and the content of each
    published message, and None for a channel of which no more will come; `on_end` is called once when the connection is
    closed.
    """

    def __init__(
        self,
        connection: Any,
        pack_commands: Callable[[tuple[Command, ...]], list[bytes]],
        *,
        on_message: OnMessage | None = None,
        on_end: Callable[[], None] | None = None,
    ) -> None:
        self._connection = connection
        self._pack_commands = pack_commands
        self._on_message = on_message
        self._on_end = on_end
        self._calls: deque[_Call] = deque()
        self._overdue: _Call | None = None
        self._unsent: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._reader: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._ended = False

    @property
    def closed(self) -> bool:
        """True if the connection was closed or cut, or its event loop has ended."""
        return self._ended or self._loop.is_closed()

    @property
    def node(self) -> tuple[str, int]:
        """Host and port of the server, if the connection found it by a resolver."""
        node: tuple[str, int] = self._connection.node
        return node

    async def open(self) -> None:
        """Connect. Raises redis.RedisError."""
        try:
            await self._connection.connect()
        except BaseException:  # cancelled in between, redis-py leaves it open
            await self._connection.disconnect(nowait=True)
            raise
        self._connection.socket_timeout = None  # the timer of the oldest call replaces it
        self._reader = self._loop.create_task(self._read())

    def call(self, commands: tuple[Command, ...], reply_seconds: float) -> asyncio.Future[list[Any]]:
        """Send commands and return the future of their replies; an error reply is returned, not raised.

        The future raises redis.RedisError if the connection is cut or silent for `reply_seconds`, or if another server
        behind the same address may answer.
        """
        future: asyncio.Future[list[Any]] = self._loop.create_future()
        if self.closed:
            future.set_exception(redis.ConnectionError("the connection is closed"))
            return future
        packed = self._pack_commands(commands)  # an error here is the caller's alone
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent += packed
        if sum(map(len, packed)) > _MAX_BATCHED_BYTES:
            self._flush()
        self._calls.append(_Call(future, len(commands), time.monotonic() + reply_seconds))
        if self._timer is None:
            self._timer = self._loop.call_later(reply_seconds, self._check_silence)
        return future

    def send(self, command: Command) -> None:
        """Send a command whose reply is none: UNSUBSCRIBE or SUNSUBSCRIBE, which `on_message` confirms."""
        if self.closed:
            return
        packed = self._pack_commands((command,))
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent += packed

    async def close(self) -> None:
        """Close the connection; its calls fail."""
        self._end(redis.ConnectionError("the connection was closed"))
        if self._reader is not None:
            await asyncio.wait([self._reader])

    def drop(self) -> None:
        """Close the connection without waiting for it; its calls fail."""
        self._end(redis.ConnectionError("the connection was closed"))

    def _flush(self) -> None:
        """Send what the calls of this turn of the event loop have to say, in one piece."""
        unsent, self._unsent = self._unsent, []
        if not self.closed:
            self._connection._writer.writelines(unsent)

    def _check_silence(self) -> None:
        self._timer = None
        if not self._calls:
            return
        oldest = self._calls[0]
        left_seconds = oldest.latest_seconds - time.monotonic()
        if left_seconds <= 0 and oldest is self._overdue:
            self._end(redis.TimeoutError("no reply in time"))
        elif left_seconds <= 0:  # if the event loop was blocked, the reply may be here, and is read next
            self._overdue = oldest
            self._timer = self._loop.call_later(_GRACE_SECONDS, self._check_silence)
        else:
            self._timer = self._loop.call_later(left_seconds, self._check_silence)

    async def _read(self) -> None:
        reason: redis.RedisError = redis.ConnectionError("the connection was closed")
        try:
            while not self._ended:  # `on_message` may close the connection, too
                self._match(await self._next_reply())
        except redis.RedisError as error:
            reason = error
        finally:
            self._end(reason)
            await self._connection.disconnect(nowait=True)

    async def _next_reply(self) -> Any:
        try:
            return await self._connection.read_response()
        except redis.ResponseError as error:
            if other_server_may_answer(error):
                raise
            return error

    def _match(self, reply: Any) -> None:
        if self._on_message is not None and isinstance(reply, list) and reply[0] in _PUSHED:
            self._on_message(reply[1], reply[2] if reply[0].endswith(b"message") else None)
            return
        call = self._calls[0]
        call.replies.append(reply)
        call.missing -= 1
        if not call.missing:
            self._calls.popleft()
            if not call.future.done():
                call.future.set_result(call.replies)

    def _end(self, error: Exception) -> None:
        if self._ended:
            return
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
        while self._calls:
            future = self._calls.popleft().future
            if not future.done():
                future.set_exception(copy(error))
                future.exception()  # asyncio must not report the error of a call that was cancelled
        if self._reader is not None and self._reader is not asyncio.current_task():
            self._reader.cancel()
        if self._on_end is not None:
            self._on_end()
