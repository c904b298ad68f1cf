"""Client of the health endpoints of a pool: `cornerman health --url`, for process supervisors without Prometheus."""

from __future__ import annotations

import http.client
from typing import Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from ledger.contracts.codec import job_refused
from ledger.contracts.failures import LedgerUnavailableError
from ledger.contracts.reports import HealthCheck

READY_PATH = "/readyz"
MAX_RESPONSE_BYTES = 1_000_000


class PoolHealth(Struct, frozen=True):
    """The response of `/readyz` or `/healthz`; that of a gateway has no single checks."""

    status: Literal["passed", "failed"]
    checks: tuple[HealthCheck, ...] = ()


def fetch_pool_health(url: str, timeout_seconds: float) -> PoolHealth:
    """Query a pool's health, at `/readyz` if the address has no path.

    Raises JobRefusedError if the address is invalid, LedgerUnavailableError if no pool answers there.
    """
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if parts.scheme != "http" or host is None:
        raise job_refused(
            f"{url!r} is not an address like http://127.0.0.1:9464: see `http` in cornerman status --json"
        )
    connection = http.client.HTTPConnection(host, port, timeout=timeout_seconds)
    try:
        connection.request("GET", parts.path.rstrip("/") or READY_PATH)
        return msgspec.json.decode(connection.getresponse().read(MAX_RESPONSE_BYTES), type=PoolHealth)
    except (OSError, http.client.HTTPException, msgspec.DecodeError) as error:
        raise LedgerUnavailableError(f"no pool answers at {url}: {error}") from error
    finally:
        connection.close()
