"""Gateways as processes: how tests start them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from ledger.settings import LedgerSettings

STOP_SECONDS = 20


@dataclass
class GatewayProcess:
    """A running gateway."""

    process: subprocess.Popen[str]
    url: str
    log: Path

    def client(self, token: str | None = None) -> httpx.Client:
        """Return an HTTP client of this gateway; close it, or use it in a `with` block."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False)

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
def running_gateway(ledger: LedgerSettings, folder: Path, **settings: object) -> Iterator[GatewayProcess]:
    """Run a gateway for the duration of a block. It has printed its address, so it listens."""
    log = folder / "gateway.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway"],
            env=gateway_environment(ledger, **settings),
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
            start_new_session=True,
        )
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    assert url, f"the gateway did not start: {log.read_text()}"
    try:
        yield GatewayProcess(process, url, log)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(STOP_SECONDS)
        process.stdout.close()


def refused_start(ledger: LedgerSettings, **settings: object) -> tuple[int, str]:
    """Start a gateway that cannot work; return its exit code and what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway"],
        env=gateway_environment(ledger, **settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr
