"""Operations for process managers and monitoring."""

from __future__ import annotations

from gateway.api.health import Health
from gateway.security.caller import Role
from gateway.specification.operations import Answer, Operation

OPERATIONS = (
    Operation(
        method="GET",
        path="/healthz",
        name="liveness",
        tag="gateway",
        summary="Return whether the gateway runs.",
        role=None,
        answers={200: Answer(description="It does.", body=Health)},
    ),
    Operation(
        method="GET",
        path="/readyz",
        name="readiness",
        tag="gateway",
        summary="Return whether the ledger's server answers.",
        role=None,
        answers={200: Answer(description="It does.", body=Health)},
        problems={503: "It does not, or refuses the gateway's user."},
    ),
    Operation(
        method="GET",
        path="/metrics",
        name="metrics",
        tag="gateway",
        summary="Return the metrics of this gateway in the text format of Prometheus.",
        role=Role.READER,
        answers={200: Answer(description="The metrics.", body={"type": "string"}, media_type="text/plain")},
    ),
)
