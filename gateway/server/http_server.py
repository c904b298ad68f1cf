"""uvicorn's server with an orderly end: SIGTERM and Ctrl-C stop it, and its exit code stays its own."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn


class GatewayServer(uvicorn.Server):
    """uvicorn's server, which does not raise the signal again that stopped it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle SIGTERM and SIGINT for the duration of a block."""
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
