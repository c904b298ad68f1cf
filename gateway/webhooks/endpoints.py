"""What a relay alone serves: `/healthz`, `/readyz` and `/metrics`, from the event loop on which it delivers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from ledger.contracts.failures import LedgerError
from ledger.ledger import Ledger

_CONNECTIONS = 64


class RelayEndpoints:
    """The ASGI application of a relay. `/healthz` answers only while the loop of the deliveries runs."""

    def __init__(self, ledger: Ledger, registry: CollectorRegistry) -> None:
        self._ledger = ledger
        self._registry = registry

    async def __call__(self, scope: Any, _receive: Any, send: Any) -> None:
        """Answer a request."""
        status, content_type, body = await self._answer(scope["path"])
        headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, path: str) -> tuple[int, str, bytes]:
        if path == "/healthz":
            return 200, "application/json", b'{"status":"passed"}'
        if path == "/readyz":
            try:
                await asyncio.to_thread(self._ledger.server.execute, "PING")
            except LedgerError:  # the relay logs it
                return 503, "application/json", b'{"status":"failed"}'
            return 200, "application/json", b'{"status":"passed"}'
        if path == "/metrics":
            return 200, CONTENT_TYPE_LATEST, generate_latest(self._registry)
        return 404, "text/plain", b"/metrics, /healthz, /readyz\n"


@asynccontextmanager
async def served(endpoints: RelayEndpoints, listener: socket.socket | None) -> AsyncIterator[None]:
    """Serve for the duration of a block, or nothing without a listener."""
    if listener is None:
        yield
        return
    config = uvicorn.Config(
        endpoints,
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        lifespan="off",
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await serving


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the relay."""
        yield
