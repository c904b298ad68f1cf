"""Tables of the overview: queues, pools, recent outcomes, and controls that an operator has changed. Layout only."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from ledger.contracts.job_reports.monitoring_reports import SequentialTestResult
from ledger.operations.control_store import ControlChange
from producer.operations.overview import Overview, pool_state
from producer.output.feed_tables import feeds_table
from producer.output.monitoring_tables import alarms_table
from producer.output.report_tables import records_table
from producer.output.schedule_tables import noticeable_schedules
from producer.output.table_parts import NOTHING, duration_text


def overview_tables(view: Overview) -> list[RenderableType]:
    """Return the tables of an overview, without empty tables of problems."""
    tables: list[RenderableType] = [_queues(view)]
    if any(backlog.callers for backlog in view.queues.values()):
        tables.append(_callers(view))
    if view.pools:
        tables.append(_pools(view.pools))
    if view.feeds:
        tables.append(feeds_table(view.feeds))
    if view.switches:
        tables.append(_switches(view.switches))
    if view.alarms:
        tables.append(alarms_table(view.alarms))
    if view.drift is not None and view.drift.features is not None and view.drift.features.alarm:
        tables.append(_drifted(view.drift.model, view.drift.features))
    if (noticed := noticeable_schedules(view.schedules)) is not None:
        tables.append(noticed)
    return [*tables, _lines(view)]


def overview_group(view: Overview) -> Group:
    """Return the tables as one renderable, for a live display."""
    return Group(*overview_tables(view))


def _drifted(model: str, found: SequentialTestResult) -> Text:
    return Text(
        f"ALARM: the features of model {model[:12]} have drifted from its training data (evidence {found.highest:.3g}, "
        f"threshold {found.threshold:g}): cornerman models review lists them",
        style="bold red",
    )


def _queues(view: Overview) -> RenderableType:
    rows = [
        {
            "queue": queue,
            "waiting": f"{backlog.waiting:,}",
            "oldest": duration_text(backlog.oldest_seconds) if backlog.waiting else NOTHING,
            "running": sum(pool.get("busy", 0) for pool in view.pools if queue in pool.get("queues", ())),
            "pools": sum(queue in pool.get("queues", ()) for pool in view.pools),
            "quarantined": backlog.quarantined,
            "": "PAUSED" if any(change.name == f"pause.{queue}" for change in view.switches) else "",
        }
        for queue, backlog in sorted(view.queues.items())
    ]
    return records_table("Queues", ["queue", "waiting", "oldest", "running", "pools", "quarantined", ""], rows)


def _callers(view: Overview) -> RenderableType:
    rows = [
        {"caller": caller, "queue": queue, "waiting": f"{count:,}"}
        for queue, backlog in sorted(view.queues.items())
        for caller, count in sorted(backlog.callers.items(), key=lambda entry: -entry[1])
    ]
    return records_table("Waiting jobs by caller", ["caller", "queue", "waiting"], rows)


def _pools(pools: list[dict[str, Any]]) -> RenderableType:
    rows = [
        {
            "node": pool.get("node"),
            "queues": pool.get("queues"),
            "busy": pool.get("busy"),
            "idle": pool.get("children", 0) - pool.get("busy", 0),
            "wanted": pool.get("wanted"),
            "memory": _memory(pool.get("memory_mb"), pool.get("memory_limit_mb")),
            "version": pool.get("version"),
            "up": duration_text(pool.get("uptime_seconds", 0.0)),
            "state": _state(pool),
        }
        for pool in pools
    ]
    columns = ["node", "queues", "busy", "idle", "wanted", "memory", "version", "up", "state"]
    return records_table("Pools", columns, rows)


def _state(pool: dict[str, Any]) -> str:
    state = pool_state(pool)
    return state.upper() if state == "unhealthy" else state


def _switches(switches: list[ControlChange]) -> RenderableType:
    rows = [
        {
            "control": f"{change.name}={change.after}",
            "since": f"{change.at:%Y-%m-%d %H:%M:%S}",
            "who": change.who,
            "why": change.why,
        }
        for change in switches
    ]
    return records_table("Changed by an operator", ["control", "since", "who", "why"], rows)


def _lines(view: Overview) -> Text:
    lately, room = view.lately, view.server
    ends = ", ".join(f"{code} {count:,}" for code, count in lately.ends.items()) or "none"
    limit = f" of {room.limit_bytes / 2**20:,.0f}" if room.limit_bytes else ""
    aliases = ", ".join(f"{name} -> {digest[:12]}" for name, digest in sorted(view.aliases.items())) or "none"
    waiting = f"waiting for a time or a job, not queued yet: {view.not_queued:,}\n" if view.not_queued else ""
    unconfirmed = f"not confirmed: {view.unconfirmed}\n" if view.unconfirmed.count else ""
    return Text(
        f"outcomes: {lately.per_minute:,.1f} a minute over {duration_text(lately.span_seconds)} ({ends})\n"
        f"{unconfirmed}{waiting}dead letters: {view.dead_letters}; models: {aliases}; "
        f"server: {room.used_bytes / 2**20:,.0f}{limit} MB" + (f"\nTHE SERVER {room}" if room.may_evict else "")
    )


def _memory(used_mb: float | None, limit_mb: float | None) -> str:
    if used_mb is None:
        return NOTHING
    return f"{used_mb:,.0f} MB" if limit_mb is None else f"{used_mb:,.0f} of {limit_mb:,.0f} MB"
