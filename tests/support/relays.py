"""Relays of webhooks as processes: how tests start them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import create_server

from ledger.settings import LedgerSettings
from tests.support.fork_server import ForkedProcess
from tests.support.gateways import gateway_server

STOP_SECONDS = 20
QUICK = {
    "CORNERMAN_WEBHOOK_FIRST_RETRY_SECONDS": "0.1",
    "CORNERMAN_WEBHOOK_TIMEOUT_SECONDS": "2",
    "CORNERMAN_WEBHOOK_ALLOWED_HOSTS": "127.0.0.1,localhost",
}


def free_port() -> int:
    """Return a free port of the loopback interface."""
    with create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def start_relay(ledger: LedgerSettings, log: Path, **variables: str) -> ForkedProcess:
    """Start a relay that tries again soon, and may post to this machine."""
    environment = {
        **os.environ,
        "CORNERMAN_REDIS_URL": str(ledger.redis_url),
        "CORNERMAN_NAMESPACE": ledger.namespace,
        "CORNERMAN_LEASE_SECONDS": str(ledger.lease_seconds),
        "CORNERMAN_MAX_OUTCOMES": str(ledger.max_outcomes),
        "CORNERMAN_REPLY_TIMEOUT_SECONDS": str(ledger.reply_timeout_seconds),
        **QUICK,
        **variables,
    }
    return gateway_server().start(["-m", "gateway.webhooks"], environment=environment, log=log)


def stop(process: ForkedProcess, signum: int = signal.SIGTERM) -> int:
    """Stop a relay and return its exit code."""
    with suppress(ProcessLookupError):
        process.send_signal(signum)
    return process.wait(STOP_SECONDS)


@contextmanager
def running_relay(ledger: LedgerSettings, log: Path, **variables: str) -> Iterator[ForkedProcess]:
    """Run a relay for the duration of a block."""
    process = start_relay(ledger, log, **variables)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
