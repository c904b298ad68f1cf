"""The route of the alerts."""

from __future__ import annotations

from collections.abc import Sequence

from litestar import get
from litestar.di import NamedDependency
from litestar.response import Response

from gateway.api.responses import json_response
from gateway.security.caller import Role
from ledger.ledger import Ledger
from ledger.operations.alert_table import AlertKind
from producer.operations.alerts import current_alerts


@get("/v1/alerts", opt={"role": Role.READER}, sync_to_thread=True)
def list_alerts(ledger: NamedDependency[Ledger], alert_kinds: NamedDependency[Sequence[AlertKind]]) -> Response[bytes]:
    """Return what is wrong now, most urgent first, each with what to do and its heading in the documentation."""
    return json_response({"alerts": current_alerts(ledger, alert_kinds)})


ROUTES = (list_alerts,)
