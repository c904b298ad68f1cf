"""The route of the pools that are alive."""

from __future__ import annotations

from litestar import get
from litestar.di import NamedDependency
from litestar.response import Response

from gateway.api.responses import json_response
from gateway.security.caller import Role
from ledger.ledger import Ledger


@get("/v1/pools", opt={"role": Role.READER}, sync_to_thread=True)
def list_pools(ledger: NamedDependency[Ledger]) -> Response[bytes]:
    """Return the living pools, each with its children, memory, limits and the alerts that fire in it."""
    return json_response({"pools": ledger.pools.alive()})


ROUTES = (list_pools,)
