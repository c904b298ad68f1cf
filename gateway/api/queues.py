"""The route of the queues."""

from __future__ import annotations

from litestar import get
from litestar.di import NamedDependency
from litestar.response import Response

from gateway.api.responses import json_response
from gateway.security.caller import Role
from ledger.ledger import Ledger


@get("/v1/queues", opt={"role": Role.READER}, sync_to_thread=True)
def list_queues(ledger: NamedDependency[Ledger]) -> Response[bytes]:
    """Return the backlog of each queue, how long its oldest job has waited, and the number of dead letters."""
    return json_response(ledger.queue_stats.backlog())


ROUTES = (list_queues,)
