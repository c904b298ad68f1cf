"""The first page of operators: is anything wrong, and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from litestar import Request, get
from litestar.di import NamedDependency
from litestar.response import Response
from msgspec import Struct

from gateway.pages.operations.runbook import runbook_address
from gateway.pages.rendering import Live, render
from gateway.security.caller import Caller, Role
from ledger.contracts.feeds import FeedStatus
from ledger.ledger import Ledger
from ledger.operations.alert_table import CRITICAL, AlertKind
from producer.operations.alerts import Alert, current_alerts
from producer.operations.feed_state import is_sound, state_text
from producer.operations.overview import Overview, overview, pool_state

REFRESH_SECONDS = 5
TOOLS = {
    "ArchiveBehind": ("/operations/jobs?kind=archive_outcomes", "Runs of the archive"),
    "DeadLetters": ("/operations/dead-letters", "Dead letters"),
    "DriftAlarm": ("/operations/models", "Models"),
    "FeedBudgetLow": ("/operations#feeds", "Feeds"),
    "FeedSilent": ("/operations#feeds", "Feeds"),
    "HighErrorRate": ("/operations/jobs?state=failed", "Failed jobs"),
    "JobsExpire": ("/operations/jobs?state=expired", "Expired jobs"),
    "NoChampion": ("/operations/models", "Models"),
    "NoConsumer": ("/operations/jobs?state=queued", "Waiting jobs"),
    "OldestJobWaits": ("/operations/jobs?state=queued", "Waiting jobs"),
    "QueueNearlyFull": ("/operations/jobs?state=queued", "Waiting jobs"),
    "QueuePaused": ("/operations/controls", "Controls"),
    "ScheduleFailed": ("/operations/schedules", "Schedules"),
    "ScheduleLate": ("/operations/schedules", "Schedules"),
    "TrainingWaits": ("/operations/jobs?state=queued", "Waiting jobs"),
}
"""The page on which an operator acts on an alert, and its words."""


class ShownAlert(Struct, frozen=True):
    """An alert, the address of its runbook, and the page on which to act."""

    alert: Alert
    runbook: str
    tool: tuple[str, str] | None


class ShownPool(Struct, frozen=True):
    """A pool as the page shows it. `memory_share` is of its limit, None without one."""

    name: str
    node: str
    queues: str
    busy: int
    children: int
    memory_mb: float | None
    memory_limit_mb: float | None
    memory_share: float | None
    version: str
    uptime_seconds: float
    state: str
    sound: bool


class ShownQueue(Struct, frozen=True):
    """A queue as the page shows it."""

    name: str
    waiting: int
    oldest_seconds: float
    running: int
    pools: int
    quarantined: int
    paused: bool


class ShownFeed(Struct, frozen=True):
    """A feed as the page shows it: with its state in words, and whether that is as it should be."""

    status: FeedStatus
    state: str
    sound: bool


@get("/operations", opt={"role": Role.OPERATOR}, sync_to_thread=True, include_in_schema=False)
def get_operations(
    request: Request[Caller, Any, Any],
    ledger: NamedDependency[Ledger],
    alert_kinds: NamedDependency[Sequence[AlertKind]],
) -> Response[bytes]:
    """Return the page with the alerts, pools, queues and recent outcomes."""
    view = overview(ledger)
    alerts = current_alerts(ledger, alert_kinds, view)
    return render(
        request,
        "operations/overview.html",
        section="operations",
        page="overview",
        live=Live(place="$", seconds=REFRESH_SECONDS, address=""),
        critical=sum(alert.severity == CRITICAL for alert in alerts),
        alerts=[ShownAlert(alert, runbook_address(alert.name), TOOLS.get(alert.name)) for alert in alerts],
        pools=[_pool(pool) for pool in view.pools],
        queues=_queues(view),
        feeds=[ShownFeed(feed, state_text(feed), is_sound(feed)) for feed in view.feeds],
        view=view,
        seen_at=datetime.now(UTC),
    )


def _pool(pool: Mapping[str, Any]) -> ShownPool:
    memory, limit = pool.get("memory_mb"), pool.get("memory_limit_mb")
    state = pool_state(pool)
    return ShownPool(
        name=str(pool["name"]),
        node=str(pool.get("node", "")),
        queues=", ".join(pool.get("queues", ())),
        busy=int(pool.get("busy", 0)),
        children=int(pool.get("children", 0)),
        memory_mb=memory,
        memory_limit_mb=limit,
        memory_share=memory / limit if memory is not None and limit else None,
        version=str(pool.get("version", "")),
        uptime_seconds=float(pool.get("uptime_seconds", 0.0)),
        state=state,
        sound=state == "working",
    )


def _queues(view: Overview) -> list[ShownQueue]:
    paused = {change.name for change in view.switches if change.after == "on"}
    serving = {name: [pool for pool in view.pools if name in pool.get("queues", ())] for name in view.queues}
    return [
        ShownQueue(
            name=name,
            waiting=backlog.waiting,
            oldest_seconds=backlog.oldest_seconds,
            running=sum(int(pool.get("busy", 0)) for pool in serving[name]),
            pools=len(serving[name]),
            quarantined=backlog.quarantined,
            paused=f"pause.{name}" in paused,
        )
        for name, backlog in view.queues.items()
    ]


ROUTES = (get_operations,)
