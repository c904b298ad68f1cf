"""The state of the service at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from ledger.contracts.feeds import FeedStatus
from ledger.contracts.schedules import ScheduleStatus
from ledger.durability.outcomes import UnconfirmedOutcomes
from ledger.jobs.outcome_stats import RecentOutcomes
from ledger.jobs.queue_stats import QueueBacklog
from ledger.ledger import Ledger
from ledger.models.drift_alarms import DriftAlarm
from ledger.models.drift_figures import DriftFigures
from ledger.operations.control_store import ControlChange
from ledger.server.server_memory import ServerMemory


class Overview(Struct, frozen=True, kw_only=True):
    """The state of the service, as `cornerman status` shows it.

    Attributes
    ----------
    aliases
        Digest of the model of each alias.
    switches
        The last change of each control that differs from its default.
    alarms
        Active alarms about models.
    drift
        Findings of the last review.
    feeds
        Registered feeds.
    not_queued
        Number of jobs in the state `waiting`, which are in no queue.
    schedules
        All schedules, with their next and last run.
    unconfirmed
        Outcomes that no reader sees, because the disk or replicas have not confirmed them.
    """

    queues: dict[str, QueueBacklog]
    pools: list[dict[str, Any]]
    lately: RecentOutcomes
    dead_letters: int
    aliases: dict[str, str]
    switches: list[ControlChange]
    server: ServerMemory
    alarms: list[DriftAlarm] = []
    drift: DriftFigures | None = None
    feeds: list[FeedStatus] = []
    not_queued: int = 0
    schedules: list[ScheduleStatus] = []
    unconfirmed: UnconfirmedOutcomes = UnconfirmedOutcomes()


def overview(ledger: Ledger) -> Overview:
    """Query the state of the service. Raises LedgerUnavailableError."""
    backlog = ledger.queue_stats.backlog()
    return Overview(
        queues=backlog.queues,
        pools=ledger.pools.alive(),
        lately=ledger.outcome_stats.recent(),
        dead_letters=backlog.dead_letters,
        aliases={alias: model["digest"] for model in ledger.models.all() for alias in model["aliases"]},
        switches=ledger.controls.last_changes(),
        server=ledger.server.memory(),
        alarms=ledger.drift_alarms.active(),
        drift=ledger.drift_figures.latest(),
        feeds=ledger.feeds.all(),
        not_queued=backlog.not_queued,
        schedules=ledger.schedules.list(),
        unconfirmed=ledger.outcome_confirmation.unconfirmed(),
    )


def pool_state(pool: Mapping[str, Any]) -> str:
    """Return the state of a pool in a word: `unhealthy`, `closing`, `working`, or `stopped` with its queues."""
    if not pool.get("healthy", True):
        return "unhealthy"
    if pool.get("closing"):
        return "closing"
    return f"stopped: {', '.join(pool['stopped'])}" if pool.get("stopped") else "working"
