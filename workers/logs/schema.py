"""What a line of the log holds, for whoever reads logs by machine. Every line is one JSON object.

`msgspec.json.schema(JobLine)` is the same as a JSON schema. Fields may be added; none is renamed.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct

Level = Literal["debug", "info", "warning", "error", "critical"]


class Line(Struct, frozen=True, kw_only=True):
    """What every line holds; most have more, by the event. `logger` is the part of the pool that speaks."""

    event: str
    level: Level
    logger: str
    pid: int
    timestamp: datetime


class JobLine(Line, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The canonical line: one for every attempt at a job, with `event` being `job`. What is not known is absent.

    `outcome` is `succeeded`, a failure's code, or what became of the claim: `released` (queued again, the attempt does
    not count), `parked` (the same, until it is due or woken), `requeued` (it counts), `refused` (someone else's outcome
    stands). `reason` says why a claim was given back. `model` is the digest that answered, or the name that was asked
    for. `peak_memory_mb` is of the child since it began, in MiB. The guard's lines, about
    attempts whose child is gone, lack what only the child knew.
    """

    job_id: str
    kind: str
    attempt: int
    outcome: str
    reason: str | None = None
    model: str | None = None
    correlation_id: str | None = None
    queue_wait_seconds: float | None = None
    run_seconds: float | None = None
    peak_memory_mb: float | None = None


class AlertLine(Line, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An alert begins to fire (`alert fires`, a warning) or is over (`alert resolved`)."""

    alert: str
    severity: Literal["warning", "critical"]
    value: float
    threshold: float
    labels: dict[str, str]
    summary: str
    action: str
