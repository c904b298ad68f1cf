"""The schema of the log lines, for programs that read logs. Every line is one JSON object.

`msgspec.json.schema(JobLine)` is the same as a JSON schema. Fields may be added; none is renamed.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct

Level = Literal["debug", "info", "warning", "error", "critical"]


class LogLine(Struct, frozen=True, kw_only=True):
    """The fields of every line; most events have more. `logger` is the component that logs."""

    event: str
    level: Level
    logger: str
    pid: int
    timestamp: datetime


class JobLine(LogLine, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The canonical line of an attempt at a job, with the `event` `job`. Unknown values are absent.

    `outcome` is `succeeded`, a failure's code, or what became of the claim: `released` (queued again, the attempt does
    not count), `parked` (the same, at a later time or when resumed), `requeued` (the attempt counts), `refused`
    (another outcome of the job stands). `reason` is the reason for a release. `model` is the digest of the model that
    answered, or the requested name.
    `trace_id` is the trace that the job belongs to, `span_id` the span of the attempt if the pool sends spans.
    `peak_memory_mb` is the child's peak since it started, in MiB. The supervisor's lines, about attempts
    whose child is gone, lack the values that only the child knew.
    """

    job_id: str
    kind: str
    attempt: int
    outcome: str
    reason: str | None = None
    model: str | None = None
    correlation_id: str | None = None
    caller: str | None = None
    trace_id: str | None = None
    span_id: str | None = None
    queue_wait_seconds: float | None = None
    run_seconds: float | None = None
    peak_memory_mb: float | None = None


class AlertLine(LogLine, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An alert starts to fire (`alert fires`, a warning) or is resolved (`alert resolved`)."""

    alert: str
    severity: Literal["warning", "critical"]
    value: float
    threshold: float
    labels: dict[str, str]
    summary: str
    action: str
