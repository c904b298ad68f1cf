"""The route `/v1/status`: the state of the service, as `cornerman status --json` has it."""

from __future__ import annotations

from litestar import get
from litestar.di import NamedDependency
from litestar.response import Response

from gateway.api.responses import json_response
from gateway.security.caller import Role
from ledger.ledger import Ledger
from producer.operations.overview import overview


@get("/v1/status", opt={"role": Role.READER}, sync_to_thread=True)
def get_status(ledger: NamedDependency[Ledger]) -> Response[bytes]:
    """Return queues, pools, recent outcomes, dead letters, models, changed controls and alarms."""
    return json_response(overview(ledger))


ROUTES = (get_status,)
