"""uvicorn's server with an orderly end: SIGTERM and Ctrl-C stop it, and its exit code stays its own."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import uvicorn

TICK_SECONDS = 1.0
"""How often the date in the headers is renewed."""


class GatewayServer(uvicorn.Server):
    """uvicorn's server, which does not raise the signal again that stopped it.

    `on_exit` is called on the event loop when the server begins to stop: it ends the responses that have no end.
    """

    def __init__(self, config: uvicorn.Config, on_exit: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_exit = on_exit
        self._exiting = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def main_loop(self) -> None:
        """Tick once a second until the server is to stop; uvicorn's own loop looks ten times a second whether it is."""
        self._loop = asyncio.get_running_loop()
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):
                    await self._exiting.wait()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Note that the server is to stop, and wake its loop."""
        super().handle_exit(sig, frame)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._exiting.set)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop to listen, end the endless responses, and wait for the others."""
        self._on_exit()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle SIGTERM and SIGINT for the duration of a block."""
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
