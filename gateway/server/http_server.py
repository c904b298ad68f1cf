"""uvicorn's server with an orderly end: SIGTERM and Ctrl-C stop it, and its exit code stays its own."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn


class GatewayServer(uvicorn.Server):
    """uvicorn's server, which does not raise the signal again that stopped it.

    `on_exit` is called on the event loop when the server begins to stop: it ends the responses that have no end.
    """

    def __init__(self, config: uvicorn.Config, on_exit: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_exit = on_exit

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
