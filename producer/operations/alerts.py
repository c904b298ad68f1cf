"""What is wrong now, and what to do: alerts that the living pools report, and alerts computed from the ledger.

Pools evaluate the alerts that need metrics, and report what fires in their heartbeats. What the ledger itself shows is
computed here, so that it is seen also if no pool is alive, and at once: `for_seconds` of the table does not apply.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from ledger.contracts.codec import job_refused
from ledger.ledger import Ledger
from ledger.models.aliases import CHAMPION
from ledger.operations.alert_overrides import VARIABLE, apply_overrides
from ledger.operations.alert_table import (
    ALERT_KINDS,
    ALERTS,
    CRITICAL,
    WARNING,
    AlertKind,
    ReportedAlert,
    Severity,
)
from ledger.webhooks.webhook_store import SWITCHED_OFF
from producer.operations.overview import Overview, overview

MIN_OUTCOMES = 5
"""How many recent outcomes there must be for a share of them to be an alert."""
OLDEST_JOB = {"predict": "OldestJobWaits", "train": "TrainingWaits"}
"""The alert about the oldest waiting job, by queue."""
COMPUTED = frozenset(
    {
        *OLDEST_JOB.values(),
        "CalibrationDrift",
        "DeadLetters",
        "DrawdownStop",
        "DriftAlarm",
        "FeedBudgetLow",
        "FeedSilent",
        "JobsExpire",
        "NoChampion",
        "NoConsumer",
        "NoPool",
        "NoRelay",
        "OutcomesUnconfirmed",
        "Quarantined",
        "QueueNearlyFull",
        "QueuePaused",
        "ScheduleFailed",
        "ScheduleLate",
        "ServerEvicts",
        "ServerNearlyFull",
        "WebhookBehind",
        "WebhookDeadLetters",
        "WebhookDisabled",
        "WebhookFails",
        "WebhookMissed",
    }
)
"""Alerts that are computed here; a report of a pool adds only since when."""
FLEET = COMPUTED | {"StateLags", "ArchiveBehind"}
"""Alerts about the fleet: several pools report the same one."""

_Value = tuple[str, float, dict[str, str], datetime | None, str]
"""Name, value, labels, since when (if known), and a sentence with the figures."""


class Alert(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An alert that stands now.

    Attributes
    ----------
    labels
        What it is about: the queue, the model, the pool.
    sentence
        What is wrong, with the figures.
    action
        What to do, in one sentence.
    runbook
        Page and heading of the documentation with more to do.
    since
        When it began; absent if nothing has recorded that.
    """

    name: str
    severity: Severity
    sentence: str
    action: str
    runbook: str
    value: float
    threshold: float
    labels: dict[str, str] = {}
    since: datetime | None = None


def alert_kinds() -> tuple[AlertKind, ...]:
    """Return the table with the overrides of the environment (CORNERMAN_ALERTS). Raises JobRefusedError."""
    try:
        return apply_overrides(ALERT_KINDS, os.environ.get(VARIABLE, ""))
    except ValueError as error:
        raise job_refused(str(error)) from error


def current_alerts(ledger: Ledger, kinds: Sequence[AlertKind], view: Overview | None = None) -> list[Alert]:
    """Return the alerts that stand now, critical ones first, then the longest-standing.

    `view` is an overview of the same moment, if the caller has one. Raises LedgerUnavailableError.
    """
    seen = overview(ledger) if view is None else view
    reports = _reports(seen)
    earliest = _earliest(reports)
    table = {kind.name: kind for kind in kinds}
    found = []
    for name, value, labels, since, sentence in _computed(ledger, seen):
        kind = table.get(name)
        if kind is not None and kind.is_breached(value):
            known = since or earliest.get((name, frozenset(labels.items())))
            found.append(_alert(kind, value, labels, known, sentence))
    found += _reported(reports, table)
    return sorted(found, key=_urgency)


def _computed(ledger: Ledger, view: Overview) -> Iterator[_Value]:
    """Yield every value that the ledger shows, whether or not it breaches its threshold."""
    now = datetime.fromtimestamp(ledger.server.time(), UTC)
    yield from _queues(view, now, ledger.settings.max_queue_length)
    yield from _server(view, ledger.settings.max_memory_fraction)
    yield from _models(view)
    yield from _feeds(view)
    yield from _schedules(view)
    yield from _outcomes(view, now)
    yield from _bets(ledger)
    yield from _webhooks(ledger, now)
    if view.dead_letters:
        who = "1 job has crashed its" if view.dead_letters == 1 else f"{view.dead_letters:,} jobs have crashed their"
        sentence = f"{who} workers"
        yield "DeadLetters", view.dead_letters, {}, ledger.dead_letters.oldest_at(), sentence
    lately = view.lately
    if lately.outcomes >= MIN_OUTCOMES:
        expired = lately.ends.get("expired", 0)
        sentence = f"{expired:,} of the last {lately.outcomes:,} outcomes are expired jobs"
        yield "JobsExpire", expired / lately.outcomes, {}, None, sentence


def _queues(view: Overview, now: datetime, max_queue_length: int) -> Iterator[_Value]:
    switches = {change.name: change for change in view.switches}
    for queue, backlog in view.queues.items():
        about = {"queue": queue}
        pools = sum(bool(pool.get("healthy")) and queue in pool.get("queues", ()) for pool in view.pools)
        oldest = f"the oldest for {backlog.oldest_seconds:,.0f} s"
        waiting = f"{backlog.waiting:,} {'job waits' if backlog.waiting == 1 else 'jobs wait'} in {queue}"
        if backlog.waiting and not pools:
            began = now - timedelta(seconds=backlog.oldest_seconds)
            yield "NoConsumer", backlog.waiting, about, began, f"{waiting}, {oldest}, and no healthy pool serves it"
        elif not pools:
            yield "NoPool", pools, about, None, f"no healthy pool serves {queue}"
        if backlog.waiting and queue in OLDEST_JOB:
            began = now - timedelta(seconds=backlog.oldest_seconds)
            yield OLDEST_JOB[queue], backlog.oldest_seconds, about, began, f"{waiting}, {oldest}"
        full = backlog.waiting / max_queue_length
        yield "QueueNearlyFull", full, about, None, f"{waiting}, {full:.0%} of the most that are accepted"
        if change := switches.get(f"pause.{queue}"):
            sentence = f"the queue {queue} is paused by {change.who} ({change.why}); {waiting}"
            yield "QueuePaused", 1, about, change.at, sentence
        sentence = f"{backlog.quarantined:,} items of {queue} were written by something other than a ledger"
        yield "Quarantined", backlog.quarantined, about, None, sentence


def _server(view: Overview, max_memory_fraction: float) -> Iterator[_Value]:
    memory = view.server
    if memory.may_evict:
        yield "ServerEvicts", 1, {}, None, f"the server {memory}"
    if memory.limit_bytes is not None:
        allowed_mb = memory.limit_bytes * max_memory_fraction / 2**20
        used_mb = memory.used_bytes / 2**20
        sentence = f"the server uses {used_mb:,.0f} MB, and refuses new jobs above {allowed_mb:,.0f} MB"
        yield "ServerNearlyFull", used_mb / allowed_mb, {}, None, sentence


def _models(view: Overview) -> Iterator[_Value]:
    if CHAMPION not in view.aliases:
        yield "NoChampion", 1, {}, None, "no model is champion, so cards that name no model fail"
    for alarm in view.alarms:
        about = {"model": alarm.model}
        done = f": {alarm.said}" if alarm.said else ""
        sentence = f"{alarm.fights:,} results contradict model {alarm.model[:12]}; action taken: {alarm.action}{done}"
        yield "DriftAlarm", 1, about, alarm.raised_at, sentence
    if view.drift is not None:
        about = {"model": view.drift.model}
        sentence = (
            f"favourites of model {view.drift.model[:12]} win {view.drift.drift:.1%} more or less often than predicted"
        )
        yield "CalibrationDrift", view.drift.drift, about, None, sentence


def _feeds(view: Overview) -> Iterator[_Value]:
    for feed in view.feeds:
        about, state = {"feed": feed.name}, feed.state
        failed = f": {state.failure.message}" if state.failure is not None else ""
        since = state.last_success or feed.registered_at
        if feed.leader is None:
            silent = f"no feed runner has led {feed.name} for {feed.leaderless_seconds:,.0f} s{failed}"
        else:
            silent = f"{feed.name} has missed {feed.silent_polls:,.0f} polls{failed}"
        yield "FeedSilent", feed.silent_polls, about, since, silent
        if state.budget.coverage is not None and not state.done:
            left = "" if state.budget.remaining is None else f"{state.budget.remaining:,} credits are left, "
            sentence = f"{feed.name}: {left}enough for {state.budget.coverage:.0%} of the polls before its events"
            yield "FeedBudgetLow", state.budget.coverage, about, None, sentence


def _schedules(view: Overview) -> Iterator[_Value]:
    for status in view.schedules:
        name = status.schedule.name
        about = {"schedule": name}
        if (run := status.last_failure) is not None:
            why = f": {run.message}" if run.message else ""
            yield "ScheduleFailed", 1, about, run.ended_at, f"run {run.run_id} of schedule {name} {run.state}{why}"
        if status.next_slot is not None and status.late_seconds > 0:
            sentence = f"the slot {status.next_slot:%Y-%m-%d %H:%M:%S} UTC of schedule {name} is not submitted"
            yield "ScheduleLate", status.late_seconds, about, status.next_slot, sentence
        elif status.ahead_seconds > 0:
            sentence = (
                f"schedule {name} is submitted up to {status.decided_until:%Y-%m-%d %H:%M:%S} UTC, which the server's "
                "clock has not reached: no slot is due before it"
            )
            yield "ScheduleLate", status.ahead_seconds, about, None, sentence


def _outcomes(view: Overview, now: datetime) -> Iterator[_Value]:
    waiting = view.unconfirmed
    since = now - timedelta(seconds=waiting.oldest_seconds)
    yield "OutcomesUnconfirmed", waiting.oldest_seconds, {}, since, str(waiting)


def _bets(ledger: Ledger) -> Iterator[_Value]:
    account = ledger.bets.account()
    sentence = (
        f"the bankroll of {account.mode} bets is {account.bankroll:,}, {account.drawdown_share:.1%} below its peak of "
        f"{account.peak:,}: no bet is placed"
    )
    yield "DrawdownStop", float(account.stopped), {"mode": account.mode}, None, sentence


def _webhooks(ledger: Ledger, now: datetime) -> Iterator[_Value]:
    webhooks = ledger.webhooks.all()
    enabled = sum(webhook.enabled for webhook in webhooks)
    if enabled and not any(webhook.relay for webhook in webhooks):
        several = "webhooks are" if enabled > 1 else "webhook is"
        yield "NoRelay", enabled, {}, None, f"{enabled} {several} enabled, and no relay delivers"
    for webhook in webhooks:
        # The path of a URL may hold a token, and everybody who reads alerts sees this.
        about, name = {"webhook": webhook.id}, f"webhook {webhook.id} ({webhook.description or _host(webhook.url)})"
        dead = f"{name} has {webhook.dead_letters:,} dead letters"
        yield "WebhookDeadLetters", webhook.dead_letters, about, None, dead
        if webhook.missed_at is not None and now - webhook.missed_at < timedelta(days=1):
            sentence = f"{name} has missed {webhook.missed:,} outcomes, which the stream dropped before they were read"
            yield "WebhookMissed", webhook.missed, about, webhook.missed_at, sentence
        if not webhook.enabled:
            if webhook.disabled_reason != SWITCHED_OFF:
                yield "WebhookDisabled", 1, about, None, f"{name} is disabled: {webhook.disabled_reason}"
            continue
        if webhook.failing_since is not None:
            seconds = (now - webhook.failing_since).total_seconds()
            sentence = f"every attempt at {name} has failed for {seconds:,.0f} s: {webhook.error}"
            yield "WebhookFails", seconds, about, webhook.failing_since, sentence
        if webhook.oldest_seconds is not None:
            since = now - timedelta(seconds=webhook.oldest_seconds)
            sentence = f"{name} lacks an outcome of {webhook.oldest_seconds:,.0f} s ago; {webhook.waiting:,} wait"
            yield "WebhookBehind", webhook.oldest_seconds, about, since, sentence


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def _reports(view: Overview) -> list[tuple[Mapping[str, Any], ReportedAlert]]:
    """Return what the living pools report, with the pool; a pool of an earlier version reports nothing."""
    return [(pool, msgspec.convert(alert, ReportedAlert)) for pool in view.pools for alert in pool.get("alerts", ())]


def _earliest(
    reports: Sequence[tuple[Mapping[str, Any], ReportedAlert]],
) -> dict[tuple[str, frozenset[tuple[str, str]]], datetime]:
    """Return when each alert was first seen by a pool, by name and labels."""
    found: dict[tuple[str, frozenset[tuple[str, str]]], datetime] = {}
    for _, report in reports:
        key = report.name, frozenset(report.labels.items())
        found[key] = min(found.get(key, report.since), report.since)
    return found


def _reported(
    reports: Sequence[tuple[Mapping[str, Any], ReportedAlert]], table: Mapping[str, AlertKind]
) -> Iterator[Alert]:
    """Yield the alerts that pools alone can see; one about the fleet once."""
    seen = set()
    for pool, report in reports:
        if report.name in COMPUTED:
            continue
        labels = report.labels
        if report.name not in FLEET:
            labels = {**labels, "pool": str(pool["name"]), "node": str(pool.get("node", ""))}
        key = report.name, frozenset(labels.items())
        if key in seen:
            continue
        seen.add(key)
        kind = table.get(report.name)
        if kind is None:
            if report.name in ALERTS:
                continue  # its override here is `off`
            kind = _unknown(report)
        where = f" ({labels['pool']})" if "pool" in labels else ""
        figures = f"{kind.summary}{where}: {report.value:.4g}, limit {kind.threshold:g}"
        yield _alert(kind, report.value, labels, report.since, figures)


def _unknown(report: ReportedAlert) -> AlertKind:
    """Return a row for an alert of a newer version."""
    return AlertKind(
        name=report.name,
        threshold=0,
        for_seconds=0,
        severity=WARNING,
        summary=f"a pool reports {report.name}",
        action=f"see {report.name} in the documentation of the pool's version",
    )


def _alert(kind: AlertKind, value: float, labels: dict[str, str], since: datetime | None, sentence: str) -> Alert:
    return Alert(
        name=kind.name,
        severity=kind.severity,
        sentence=sentence,
        action=kind.action,
        runbook=kind.runbook,
        value=value,
        threshold=kind.threshold,
        labels=labels,
        since=since,
    )


def _urgency(alert: Alert) -> tuple[bool, bool, datetime, str]:
    since = alert.since
    return alert.severity != CRITICAL, since is None, since or datetime.max.replace(tzinfo=UTC), alert.name
