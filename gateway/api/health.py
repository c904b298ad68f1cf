"""Routes for process managers and monitoring: whether the gateway lives, is ready, and its metrics."""

from __future__ import annotations

from typing import Any

from litestar import get
from litestar.di import NamedDependency
from litestar.response import Response
from msgspec import Struct
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from gateway.api.responses import json_response
from gateway.security.caller import Role
from ledger.ledger import Ledger


class Health(Struct, frozen=True):
    """The health of a gateway."""

    status: str


@get("/healthz")
async def get_liveness() -> Response[bytes]:
    """Return 200 while the gateway runs."""
    return json_response(Health("passed"))


@get("/readyz", sync_to_thread=True)
def get_readiness(ledger: NamedDependency[Ledger]) -> Response[bytes]:
    """Return 200 if the ledger's server answers; otherwise a problem (503)."""
    ledger.server.execute("PING")
    return json_response(Health("passed"))


@get("/metrics", opt={"role": Role.READER}, sync_to_thread=False)
def get_metrics(registry: NamedDependency[CollectorRegistry]) -> Response[Any]:
    """Return the metrics of this gateway in the text format of Prometheus."""
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


ROUTES = (get_liveness, get_readiness, get_metrics)
