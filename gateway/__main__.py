"""`python -m gateway`: one gateway in this process.

Exit codes: 0 after SIGTERM; 69 if the ledger's server cannot be reached; 71 if the address is taken; 78 for a setting
that cannot work.
"""

from __future__ import annotations

import argparse
import gc
import json
import socket
import sys
from typing import Any

import uvicorn

from gateway.app import create_gateway
from gateway.logs import configure_logging
from gateway.server.address import check_address, check_certificate, listen
from gateway.server.http_server import GatewayServer
from gateway.server.protocol import limited_protocol
from gateway.settings import GatewaySettings
from ledger.contracts.failures import JobRefusedError, LedgerUnavailableError, PermissionDeniedError
from ledger.ledger import Ledger
from producer.operations.alerts import alert_kinds
from producer.settings import ledger_settings

CANNOT_REACH_SERVER = 69  # as in sysexits.h: EX_UNAVAILABLE
CANNOT_LISTEN = 71  # EX_OSERR
BAD_SETTING = 78  # EX_CONFIG
SHUTDOWN_SECONDS = 5
GARBAGE_THRESHOLD = 20_000
"""Objects between two collections: a card has some hundreds, none of them in a cycle."""


def main() -> int:
    """Run a gateway until SIGTERM or Ctrl-C; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m gateway", description="Run one gateway.")
    parser.add_argument("--json", action="store_true", help="print the address as JSON")
    as_json = parser.parse_args().json
    try:
        settings = GatewaySettings.from_env()
        check_certificate(settings)
        ledger = Ledger.connect(ledger_settings())
        check_address(settings, has_tokens=ledger.tokens.exist())
        alert_kinds()  # an invalid override is refused here
    except (ValueError, JobRefusedError) as error:
        return _failed(error, BAD_SETTING)
    except (LedgerUnavailableError, PermissionDeniedError) as error:
        return _failed(error, CANNOT_REACH_SERVER)
    try:
        listener = listen(settings.gateway_host, settings.gateway_port)
    except OSError as error:
        return _failed(
            f"{settings.gateway_host}:{settings.gateway_port} cannot be used: {error.strerror}", CANNOT_LISTEN
        )
    configure_logging(settings.gateway_log_level)
    gateway = create_gateway(settings, ledger)
    server = GatewayServer(_config(settings, gateway.app), on_exit=gateway.outcomes.close)
    url = _url(settings, listener)
    print(json.dumps({"url": url}) if as_json else url, flush=True)  # noqa: T201 - for the caller
    gc.freeze()  # what was imported lives as long as the process
    gc.set_threshold(GARBAGE_THRESHOLD)
    try:
        server.run(sockets=[listener])
    finally:
        ledger.close()
    return 0


def _url(settings: GatewaySettings, listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"{'https' if settings.gateway_certificate else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def _config(settings: GatewaySettings, app: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="uvloop",
        http=limited_protocol(settings.gateway_header_seconds, settings.gateway_stall_seconds),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.proxies),
        forwarded_allow_ips=settings.proxies or None,
        timeout_keep_alive=round(settings.gateway_idle_seconds),
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        limit_concurrency=settings.gateway_max_connections,
        ssl_certfile=settings.gateway_certificate or None,
        ssl_keyfile=settings.gateway_certificate_key or None,
    )


def _failed(reason: object, code: int) -> int:
    print(reason, file=sys.stderr)  # noqa: T201 - for the caller
    return code


if __name__ == "__main__":
    sys.exit(main())
