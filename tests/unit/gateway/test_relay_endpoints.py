"""What a relay alone serves."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry

from gateway.settings import GatewaySettings
from gateway.webhooks.endpoints import RelayEndpoints
from ledger.ledger import Ledger, LedgerSettings
from ledger.server.embedded_server import EmbeddedServer


def answer(ledger: Ledger, path: str) -> tuple[int, str]:
    async def ask() -> tuple[int, str]:
        transport = httpx.ASGITransport(RelayEndpoints(ledger, CollectorRegistry()))
        async with httpx.AsyncClient(transport=transport, base_url="http://relay") as http:
            found = await http.get(path)
            return found.status_code, found.text

    return asyncio.run(ask())


def test_without_the_server_it_is_alive_and_not_ready(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path) as server:
        ledger = Ledger.connect(LedgerSettings(redis_url=server.url, reply_timeout_seconds=0.1))
        assert answer(ledger, "/readyz") == (200, '{"status":"passed"}')
    assert answer(ledger, "/readyz") == (503, '{"status":"failed"}')
    assert answer(ledger, "/healthz") == (200, '{"status":"passed"}')
    ledger.close()


def test_a_port_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="CORNERMAN_RELAY_HTTP_PORT is at most 65535, not 70000"):
        GatewaySettings.from_env({"CORNERMAN_RELAY_HTTP_PORT": "70000"})
