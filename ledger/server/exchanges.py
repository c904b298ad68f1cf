"""Exchanges with a server: generators that yield requests and are sent the replies.

The rules of the ledger are exchanges and do no input or output themselves, so a blocking server and an asyncio server
run the same rules: `Server.run` and `AsyncServer.run`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

from ledger.server.connection_pool import Command

T = TypeVar("T")
_Request = TypeVar("_Request")


class Commands(NamedTuple):
    """Request to run commands one after another on one connection.

    The reply is a list of their replies, in which an error reply is an exception. `blocks_seconds` is how long the
    commands themselves may block on the server.
    """

    commands: tuple[Command, ...]
    blocks_seconds: float = 0.0


class Call(NamedTuple):
    """Request to call a function that may block, such as one that reads files; the reply is its result.

    An asyncio server calls it in a thread.
    """

    function: Callable[[], Any]


class Subscribe(NamedTuple):
    """Request to subscribe to a channel until the exchange ends; its reply is that of `query`, read after subscribing.

    An exchange has one subscription at most.
    """

    channel: str
    query: Command


class NextMessage(NamedTuple):
    """Request for the next message of the subscribed channel.

    The reply is None after the timeout, or if messages may have been missed.
    """

    timeout_seconds: float


class Item(NamedTuple, Generic[T]):
    """An item of an iteration: `iterate` yields it to the caller."""

    value: T


Exchange: TypeAlias = Generator[Commands | Call, Any, T]
SubscribedExchange: TypeAlias = Generator[Commands | Call | Subscribe | NextMessage, Any, T]
Iteration: TypeAlias = Generator[Commands | Call | Item[T], Any, None]


def drive(exchange: Generator[_Request, Any, T], perform: Callable[[_Request], Any]) -> T:
    """Perform the requests of an exchange and return its result. An error of a request is raised in the exchange."""
    try:
        request = next(exchange)
        while True:
            try:
                reply = perform(request)
            except BaseException as error:  # noqa: BLE001 - raised in the exchange, and from there
                request = exchange.throw(error)
            else:
                request = exchange.send(reply)
    except StopIteration as end:
        result: T = end.value
        return result


async def drive_async(exchange: Generator[_Request, Any, T], perform: Callable[[_Request], Awaitable[Any]]) -> T:
    """Do as `drive` with an asynchronous function."""
    try:
        request = next(exchange)
        while True:
            try:
                reply = await perform(request)
            except BaseException as error:  # noqa: BLE001 - raised in the exchange, and from there
                request = exchange.throw(error)
            else:
                request = exchange.send(reply)
    except StopIteration as end:
        result: T = end.value
        return result


def next_item(iteration: Iteration[T]) -> Exchange[Item[T] | None]:
    """Continue an iteration up to its next item and return it; None at the end."""
    try:
        request = next(iteration)
        while not isinstance(request, Item):
            try:
                reply = yield request
            except BaseException as error:  # noqa: BLE001 - raised in the iteration, and from there
                request = iteration.throw(error)
            else:
                request = iteration.send(reply)
    except StopIteration:
        return None
    return request
