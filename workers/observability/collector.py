"""The gauges of a pool: the current state of the ledger, the processes and the health checks."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from typing import Any

import psutil
from msgspec import Struct
from msgspec.structs import replace

from ledger.archive.job_archive import ArchiveState
from ledger.contracts.bets import BetAccount
from ledger.contracts.failures import PermissionDeniedError
from ledger.contracts.feeds import FeedStatus
from ledger.contracts.reports import HealthCheck
from ledger.contracts.schedules import ScheduleStatus
from ledger.durability.outcomes import UnconfirmedOutcomes
from ledger.jobs.claims import QUEUES
from ledger.jobs.queue_stats import Backlog
from ledger.ledger import Ledger
from ledger.models.aliases import CHAMPION
from ledger.models.drift_figures import DriftFigures
from ledger.models.state_lag import StateLag
from workers.observability.metrics import GaugeValues
from workers.pool.pool import WorkerPool
from workers.pool.processes import is_alive

STATE_LAG_SECONDS = 60.0
"""How long a measured lag of the champion's state is kept: it grows by days, and reads all fight results."""
MAX_FEEDS = 20
MAX_ALIASES = 20  # callers who may train can create any number of aliases
_MB = 2**20
_VERSION = version("cornerman")  # which takes milliseconds to find


class LedgerSnapshot(Struct, frozen=True):
    """The observed state of the ledger."""

    backlog: Backlog
    pools: Sequence[Mapping[str, Any]]
    aliases: Mapping[str, str]
    drift: DriftFigures | None
    evicts: bool = False
    state_lag: StateLag | None = None
    feeds: Sequence[FeedStatus] = ()
    schedules: Sequence[ScheduleStatus] = ()
    bets: BetAccount | None = None
    unconfirmed: UnconfirmedOutcomes = UnconfirmedOutcomes()
    archive: ArchiveState | None = None
    archive_lag_seconds: float = 0.0


class ChildrenSnapshot(Struct, frozen=True):
    """The observed state of the pool's children. Memory is resident, in bytes."""

    idle: int = 0
    busy: int = 0
    largest_bytes: int = 0


class LedgerObserver:
    """Takes snapshots of the ledger; what is expensive to read is kept for a while."""

    def __init__(self) -> None:
        self._lag: StateLag | None = None
        self._lag_of: str | None = None
        self._lag_until_seconds = 0.0

    def snapshot(self, ledger: Ledger) -> LedgerSnapshot:
        """Return the state of the ledger. Raises LedgerUnavailableError."""
        seen = snapshot_ledger(ledger)
        champion, now_seconds = seen.aliases.get(CHAMPION), time.monotonic()
        if champion != self._lag_of or now_seconds >= self._lag_until_seconds:
            self._lag = None if champion is None else ledger.state_lags.measure(champion)
            self._lag_of, self._lag_until_seconds = champion, now_seconds + STATE_LAG_SECONDS
        return replace(seen, state_lag=self._lag)


def snapshot_ledger(ledger: Ledger) -> LedgerSnapshot:
    """Return the state of the ledger, without the lag of states. Raises LedgerUnavailableError."""
    archive = ledger.job_archive.state()
    aliases = {name: model["digest"] for model in ledger.models.all() for name in model["aliases"]}
    named = dict(sorted(aliases.items())[:MAX_ALIASES])
    return LedgerSnapshot(
        ledger.queue_stats.backlog(),
        ledger.pools.alive(),
        named,
        ledger.drift_figures.latest(),
        _evicts(ledger),
        feeds=ledger.feeds.all()[:MAX_FEEDS],
        schedules=ledger.schedules.list(),
        bets=ledger.bets.account(),
        unconfirmed=ledger.outcome_confirmation.unconfirmed(),
        archive=archive,
        archive_lag_seconds=0.0 if archive is None else _archive_lag_seconds(ledger, archive),
    )


def _archive_lag_seconds(ledger: Ledger, archive: ArchiveState) -> float:
    since = archive.caught_up_at or archive.written_at
    return max(0.0, ledger.server.time() - since.timestamp())


def _evicts(ledger: Ledger) -> bool:
    try:
        return ledger.server.memory().may_evict
    except PermissionDeniedError:  # an older users.acl does not let workers read INFO
        return False


def snapshot_children(pool: WorkerPool) -> ChildrenSnapshot:
    """Return the state of the calling process's live children."""
    living: dict[int, int] = {}
    for slot in pool.scoreboard.slots():
        with suppress(psutil.NoSuchProcess):  # it has just exited
            if is_alive(slot.pid):
                living[slot.pid] = psutil.Process(slot.pid).memory_info().rss
    slots = [slot for slot in pool.scoreboard.slots() if slot.pid in living]
    busy = sum(bool(slot.token) for slot in slots)
    return ChildrenSnapshot(
        idle=len(slots) - busy,
        busy=busy,
        largest_bytes=max(living.values(), default=0),
    )


def gauge_values(
    pool: WorkerPool,
    queues: Iterable[str],
    ledger: LedgerSnapshot | None,
    children: ChildrenSnapshot,
    checks: Sequence[HealthCheck],
    silent_seconds: float | None,
) -> dict[str, GaugeValues]:
    """Return every gauge that has a value now, by name and the values of its labels."""
    if ledger is not None and not ledger.aliases:  # before the first training there is no model to open, and no alert
        checks = [check for check in checks if check.name != "model_loaded"]
    about = (pool.name, pool.settings.node_name, ",".join(sorted(queues)), _VERSION)
    values: dict[str, GaugeValues] = {
        "cornerman_pool_info": {about: 1},
        "cornerman_ledger_up": {(): float(ledger is not None)},
        "cornerman_children": {("idle",): children.idle, ("busy",): children.busy},
        "cornerman_child_memory_max_bytes": {(): children.largest_bytes},
        "cornerman_check_passed": {(check.name,): float(check.passed) for check in checks},
    }
    if pool.memory.limit_mb:  # after the supervisor's first tick
        memory = {"used": pool.memory.used_mb, "limit": pool.memory.limit_mb, "room": pool.memory.room_mb}
        values["cornerman_pool_memory_bytes"] = {(what,): megabytes * _MB for what, megabytes in memory.items()}
        values["cornerman_children_wanted"] = {(): pool.memory.wanted}
    if pool.settings.child_max_memory_mb:
        values["cornerman_child_memory_limit_bytes"] = {(): pool.settings.child_max_memory_mb * _MB}
    if silent_seconds is not None:
        values["cornerman_consumption_silence_seconds"] = {(): silent_seconds}
    return values if ledger is None else values | _ledger_gauges(ledger)


def _ledger_gauges(ledger: LedgerSnapshot) -> dict[str, GaugeValues]:
    waits = ledger.backlog.queues
    consumers = {
        queue: sum(bool(pool.get("healthy")) and queue in pool.get("queues", ()) for pool in ledger.pools)
        for queue in QUEUES
    }
    unattended = {queue: 0 if consumers[queue] else waits[queue].waiting for queue in QUEUES}
    values: dict[str, GaugeValues] = {
        "cornerman_model_info": dict.fromkeys(ledger.aliases.items(), 1),
        "cornerman_server_evicts": {(): float(ledger.evicts)},
        "cornerman_queue_length": {(queue,): waits[queue].waiting for queue in QUEUES},
        "cornerman_caller_queue_length": {
            (queue, caller): count for queue in QUEUES for caller, count in waits[queue].callers.items()
        },
        "cornerman_queue_oldest_age_seconds": {(queue,): waits[queue].oldest_seconds for queue in QUEUES},
        "cornerman_jobs_not_queued": {(): ledger.backlog.not_queued},
        "cornerman_quarantined_items": {(queue,): waits[queue].quarantined for queue in QUEUES},
        "cornerman_consumers": {(queue,): consumers[queue] for queue in QUEUES},
        "cornerman_unattended_jobs": {(queue,): unattended[queue] for queue in QUEUES},
        "cornerman_dead_letters": {(): ledger.backlog.dead_letters},
        "cornerman_unconfirmed_outcomes": {(): ledger.unconfirmed.count},
        "cornerman_unconfirmed_outcome_age_seconds": {(): ledger.unconfirmed.oldest_seconds},
    }
    if ledger.drift is not None:
        values["cornerman_calibration_drift"] = {(ledger.drift.model,): ledger.drift.drift}
    if ledger.schedules:
        values["cornerman_schedule_failed"] = {
            (status.schedule.name,): float(status.last_failure is not None) for status in ledger.schedules
        }
        values["cornerman_schedule_late_seconds"] = {
            (status.schedule.name,): status.late_seconds + status.ahead_seconds for status in ledger.schedules
        }
    if ledger.archive is not None:
        values["cornerman_archive_lag_seconds"] = {(): ledger.archive_lag_seconds}
        values["cornerman_archived_outcomes"] = {(): ledger.archive.outcomes}
        values["cornerman_archive_bytes"] = {(): ledger.archive.bytes}
    if ledger.bets is not None:
        mode = (ledger.bets.mode,)
        values["cornerman_open_stakes"] = {mode: ledger.bets.open}
        values["cornerman_bankroll"] = {mode: ledger.bets.bankroll}
        values["cornerman_drawdown_stopped"] = {mode: float(ledger.bets.stopped)}
    if ledger.state_lag is not None:
        values["cornerman_state_lag_days"] = {(ledger.state_lag.model,): ledger.state_lag.days}
    return values | _feed_gauges(ledger.feeds)


def _feed_gauges(feeds: Sequence[FeedStatus]) -> dict[str, GaugeValues]:
    values: dict[str, dict[tuple[str, ...], float]] = {}
    for feed in feeds:
        state = feed.state
        known = {
            "silent_polls": feed.silent_polls,
            "last_success_timestamp_seconds": None if state.last_success is None else state.last_success.timestamp(),
            "budget_remaining": state.budget.remaining,
            "budget_coverage": None if state.done else state.budget.coverage,
        }
        for name, value in known.items():
            if value is not None:
                values.setdefault(f"cornerman_feed_{name}", {})[feed.name,] = value
        runners = {"leader": float(feed.leader is not None), "standby": len(feed.standbys)}
        for metric, counts in (("cornerman_feed_runners", runners), ("cornerman_feed_counts", feed.totals)):
            values.setdefault(metric, {}).update({(feed.name, what): count for what, count in counts.items()})
    return dict(values)
