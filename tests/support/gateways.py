"""Gateways as processes: how tests start them."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import httpx

from ledger.settings import LedgerSettings
from tests.support.fork_server import ForkedProcess, ForkServer

STOP_SECONDS = 20
GATEWAY_MODULES = (
    "gateway.app",
    "gateway.logs",
    "gateway.server.address",
    "gateway.server.http_server",
    "gateway.server.protocol",
    "gateway.webhooks.endpoints",
    "gateway.webhooks.relay",
    "producer.operations.alerts",
    # What these import when a gateway starts:
    "anyio._backends._asyncio",
    "litestar.exceptions.responses",
    "litestar.middleware.csrf",
    "litestar.plugins.attrs",
    "litestar.plugins.pydantic",
    "redis.asyncio",
    "uvicorn.lifespan.on",
    "uvicorn.loops.uvloop",
)
"""What a gateway imports, and a relay."""


@cache
def gateway_server() -> ForkServer:
    """Return a connection to the process that forks the gateways and relays of a run."""
    return ForkServer("gateway", GATEWAY_MODULES)


@cache
def trusted() -> ssl.SSLContext:
    """Return what httpx trusts by default. It would read the certificates for each client, 25 ms of a processor."""
    return httpx.create_ssl_context(trust_env=False)


@dataclass
class GatewayProcess:
    """A running gateway."""

    process: subprocess.Popen[bytes] | ForkedProcess
    url: str
    log: Path

    def client(self, token: str | None = None) -> httpx.Client:
        """Return an HTTP client of this gateway; close it, or use it in a `with` block."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False, verify=trusted())

    def stop(self, signum: int = signal.SIGTERM) -> int:
        """Stop the gateway and return its exit code."""
        self.process.send_signal(signum)
        return self.process.wait(STOP_SECONDS)


def gateway_environment(ledger: LedgerSettings, **settings: object) -> dict[str, str]:
    """Return the environment of a gateway on any free port; `settings` are fields of GatewaySettings."""
    variables = {f"CORNERMAN_{name.upper()}": str(value) for name, value in {"gateway_port": 0, **settings}.items()}
    named = {"CORNERMAN_REDIS_URL": ledger.redis_url or "", "CORNERMAN_NAMESPACE": ledger.namespace}
    return {**os.environ, **named, **variables}


@contextmanager
def running_gateway(
    ledger: LedgerSettings, folder: Path, *, new_interpreter: bool = False, **settings: object
) -> Iterator[GatewayProcess]:
    """Run a gateway for the duration of a block. It has printed its address, so it listens.

    It is forked by a server unless `new_interpreter` is true.
    """
    log = folder / "gateway.log"
    log.write_bytes(b"")
    environment = gateway_environment(ledger, **settings)
    reader, writer = os.pipe()
    process: subprocess.Popen[bytes] | ForkedProcess
    with open(reader, encoding="utf-8") as output:
        try:
            if new_interpreter:
                with log.open("ab") as stream:
                    process = subprocess.Popen(
                        [sys.executable, "-m", "gateway"],
                        env=environment,
                        stdout=writer,
                        stderr=stream,
                        start_new_session=True,
                    )
            else:
                process = gateway_server().start(["-m", "gateway"], environment=environment, log=log, stdout=writer)
        finally:
            os.close(writer)
        url = output.readline().strip()
        assert url, f"the gateway did not start: {log.read_text()}"
        try:
            yield GatewayProcess(process, url, log)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(STOP_SECONDS)


def refused_start(ledger: LedgerSettings, folder: Path, **settings: object) -> tuple[int, str]:
    """Start a gateway that cannot work; return its exit code and what it says."""
    log = folder / "refused.log"
    log.write_bytes(b"")
    environment = gateway_environment(ledger, **settings)
    process = gateway_server().start(["-m", "gateway"], environment=environment, log=log)
    return process.wait(60), log.read_text()
