"""Operations that show the state of the service: status, alerts, pools and queues."""

from __future__ import annotations

from gateway.security.caller import Role
from gateway.specification.operations import Answer, Operation, object_of
from ledger.jobs.queue_stats import Backlog
from producer.operations.alerts import Alert
from producer.operations.overview import Overview

TYPES = (Alert,)
_POOLS = object_of(pools={"type": "array", "items": {"type": "object", "additionalProperties": True}})

OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/status",
        name="status",
        tag="operations",
        summary="Return queues, pools, recent outcomes, dead letters, models, changed controls and alarms.",
        role=Role.READER,
        answers={200: Answer(description="The state of the service.", body=Overview)},
    ),
    Operation(
        method="GET",
        path="/v1/alerts",
        name="listAlerts",
        tag="operations",
        summary="Return what is wrong now, most urgent first, each with what to do.",
        role=Role.READER,
        answers={200: Answer(description="The alerts.", body=object_of(alerts=[Alert]))},
    ),
    Operation(
        method="GET",
        path="/v1/pools",
        name="listPools",
        tag="operations",
        summary="Return the living pools, each with its children, memory, limits and the alerts that fire in it.",
        role=Role.READER,
        answers={200: Answer(description="The pools.", body=_POOLS)},
    ),
    Operation(
        method="GET",
        path="/v1/queues",
        name="listQueues",
        tag="operations",
        summary="Return the backlog of each queue, how long its oldest job has waited, and the number of dead letters.",
        role=Role.READER,
        answers={200: Answer(description="The queues.", body=Backlog)},
    ),
)
