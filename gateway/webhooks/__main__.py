"""`python -m gateway.webhooks`: a relay alone, without the gateway.

Exit codes: 0 after SIGTERM; 69 if the ledger's server cannot be reached; 71 if the address is taken; 78 for a setting
that cannot work.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys

from prometheus_client import CollectorRegistry

from gateway.logs import configure_logging
from gateway.server.address import listen
from gateway.settings import GatewaySettings
from gateway.webhooks.endpoints import RelayEndpoints, served
from gateway.webhooks.relay import Relay
from ledger.contracts.failures import JobRefusedError, LedgerUnavailableError, PermissionDeniedError
from ledger.ledger import Ledger
from producer.settings import ledger_settings

CANNOT_REACH_SERVER = 69  # as in sysexits.h: EX_UNAVAILABLE
CANNOT_LISTEN = 71  # EX_OSERR
BAD_SETTING = 78  # EX_CONFIG


def main() -> int:
    """Run a relay until SIGTERM or Ctrl-C; return its exit code."""
    try:
        settings = GatewaySettings.from_env()
        ledger = Ledger.connect(ledger_settings())
    except (ValueError, JobRefusedError) as error:
        return _failed(error, BAD_SETTING)
    except (LedgerUnavailableError, PermissionDeniedError) as error:
        return _failed(error, CANNOT_REACH_SERVER)
    try:
        port = settings.relay_http_port
        listener = listen(settings.relay_http_host, port) if port else None
    except OSError as error:
        return _failed(f"{settings.relay_http_host}:{port} cannot be used: {error.strerror}", CANNOT_LISTEN)
    configure_logging(settings.gateway_log_level)
    try:
        asyncio.run(_run(ledger, settings, listener))
    finally:
        ledger.close()
    return 0


async def _run(ledger: Ledger, settings: GatewaySettings, listener: socket.socket | None) -> None:
    registry = CollectorRegistry()
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with served(RelayEndpoints(ledger, registry), listener):
        await Relay(ledger, settings, registry).run(stop)


def _failed(reason: object, code: int) -> int:
    print(reason, file=sys.stderr)  # noqa: T201 - for the caller
    return code


if __name__ == "__main__":
    sys.exit(main())
