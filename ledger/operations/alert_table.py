"""The table of alerts: what each is about, its limit, its severity and what to do.

Pools evaluate those that need metrics (`workers.alerts.rules`), and report what fires in their heartbeats. The others
are computed from the ledger alone (`producer.operations.alerts`), so that they are seen also if no pool is alive.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct

Severity = Literal["warning", "critical"]
WARNING: Severity = "warning"
CRITICAL: Severity = "critical"

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0

RUNBOOK = "docs/guides/operators.md"
"""The page with a heading for each alert."""


class AlertKind(Struct, frozen=True, kw_only=True):
    """One row of the table: an alert fires when its value has breached `threshold` for `for_seconds`.

    A value above the threshold breaches it, or with `below` a value underneath. `summary` describes the problem,
    `action` the remedy.
    """

    name: str
    threshold: float
    below: bool = False
    for_seconds: float
    severity: Severity
    summary: str
    action: str

    def is_breached(self, value: float) -> bool:
        """Return True if a value breaches the threshold."""
        return value < self.threshold if self.below else value > self.threshold

    @property
    def runbook(self) -> str:
        """The page and heading of the documentation that tell what to do."""
        return f"{RUNBOOK}#{self.name.lower()}"


class ReportedAlert(Struct, frozen=True, kw_only=True):
    """An alert that a pool reports in its heartbeat, with its last value and when that first breached the threshold."""

    name: str
    labels: dict[str, str]
    value: float
    since: datetime


ALERT_KINDS: tuple[AlertKind, ...] = (
    AlertKind(
        name="HighMemory",
        threshold=0.9,
        for_seconds=30,
        severity=WARNING,
        summary="a child is close to its memory limit; a job that exceeds it fails as memory_limit_exceeded",
        action="find the kind of job in the job lines (peak_memory_mb); send smaller cards, fewer replicas, or raise "
        "CORNERMAN_CHILD_MAX_MEMORY_MB",
    ),
    AlertKind(
        name="PoolMemoryExceeded",
        threshold=1,
        for_seconds=MINUTE,
        severity=WARNING,
        summary="a pool uses more memory than its limit; it starts no job until it is below",
        action="other processes of the machine have taken memory, or the limit was lowered: /readyz has the figures; "
        "run fewer children, or raise max_memory_mb",
    ),
    AlertKind(
        name="HighErrorRate",
        threshold=0.05,
        for_seconds=0,
        severity=CRITICAL,
        summary="more than 5% of the jobs fail",
        action="group the job lines by outcome: invalid_input and unknown_fighter come from the feed, model_* from "
        "the models folder, internal is a defect of cornerman with its traceback in the log",
    ),
    AlertKind(
        name="FightsUnanswered",
        threshold=0.5,
        for_seconds=0,
        severity=WARNING,
        summary="more than half of the fights of answered cards have no answer",
        action="cornerman_fight_failures_total has the reasons: unknown_fighter means that the names of the feed and "
        "of the fight log differ, or that the log is old",
    ),
    AlertKind(
        name="HighUncertainty",
        threshold=0.4,
        for_seconds=0,
        severity=WARNING,
        summary="the intervals that decide are wider than 0.4 on average",
        action="expected on cards with many debutants; otherwise check the flags in the reports (stale_fight_log, "
        "features_imputed) and train on a newer log",
    ),
    AlertKind(
        name="SlowPredictions",
        threshold=0.05,
        for_seconds=0,
        severity=WARNING,
        summary="more than 5% of the cards take longer than 5 s to process",
        action="use no more children than cores, fewer replicas (max_replicas), smaller cards; check that the "
        "machine does not swap",
    ),
    AlertKind(
        name="OldestJobWaits",
        threshold=60,
        for_seconds=30,
        severity=WARNING,
        summary="a card has waited for more than a minute",
        action="add children or pools; check for a paused queue, and for jobs without a deadline behind urgent ones",
    ),
    AlertKind(
        name="TrainingWaits",
        threshold=2 * HOUR,
        for_seconds=10 * MINUTE,
        severity=WARNING,
        summary="a training job has waited for more than two hours",
        action="add a training pool, or cancel jobs that are not needed",
    ),
    AlertKind(
        name="NoConsumer",
        threshold=0,
        for_seconds=30,
        severity=CRITICAL,
        summary="jobs wait in a queue that no healthy pool consumes",
        action="start a pool for the queue: cornerman worker --pool QUEUE; find out why the last one ended",
    ),
    AlertKind(
        name="DeadLetters",
        threshold=0,
        for_seconds=0,
        severity=WARNING,
        summary="a job failed after too many worker crashes",
        action="cornerman dead-letters list, show; requeue after the cause is removed, or purge",
    ),
    AlertKind(
        name="ReferencePredictionsWrong",
        threshold=1,
        below=True,
        for_seconds=0,
        severity=CRITICAL,
        summary="the model does not reproduce its reference predictions on this machine",
        action="do not bet on this pool's answers: stop the pool; /readyz has the difference; copy the bundle again",
    ),
    AlertKind(
        name="ModelNotLoaded",
        threshold=1,
        below=True,
        for_seconds=2 * MINUTE,
        severity=CRITICAL,
        summary="a predicting pool cannot open its model",
        action="/readyz has the model and the reason: train one, copy the bundle, or share the models folder",
    ),
    AlertKind(
        name="NotConsuming",
        threshold=1,
        below=True,
        for_seconds=2 * MINUTE,
        severity=CRITICAL,
        summary="a pool runs and consumes nothing",
        action="the pool exits by itself and is restarted; if that repeats, check the server and the log of the pool",
    ),
    AlertKind(
        name="LedgerUnavailable",
        threshold=1,
        below=True,
        for_seconds=30,
        severity=CRITICAL,
        summary="a pool cannot reach the server",
        action="check whether the server is up, full, or still loading; the pool's log has the error",
    ),
    AlertKind(
        name="ServerEvicts",
        threshold=0,
        for_seconds=0,
        severity=CRITICAL,
        summary="the server may evict jobs and outcomes, and new jobs are refused",
        action="set the server's maxmemory-policy to noeviction",
    ),
    AlertKind(
        name="LeasesLost",
        threshold=0,
        for_seconds=0,
        severity=WARNING,
        summary="jobs were taken over from a pool whose leases expired",
        action="find the pool that is gone: a machine crashed or stalled, or the kernel's out-of-memory killer ended "
        "the pool",
    ),
    AlertKind(
        name="Quarantined",
        threshold=0,
        for_seconds=0,
        severity=WARNING,
        summary="something other than a ledger writes to a queue",
        action="cornerman quarantine list; check who may write to the server (deploy/users.md); then purge",
    ),
    AlertKind(
        name="IntervalsMissMarket95",
        threshold=0.05,
        for_seconds=10 * MINUTE,
        severity=WARNING,
        summary="intervals of level 0.95 contain fewer market probabilities than they should",
        action="the market has moved away from the model: abstain, backtest on recent fights, train a new model",
    ),
    AlertKind(
        name="IntervalsMissMarket80",
        threshold=0.1,
        for_seconds=10 * MINUTE,
        severity=WARNING,
        summary="intervals of level 0.8 contain fewer market probabilities than they should",
        action="the market has moved away from the model: abstain, backtest on recent fights, train a new model",
    ),
    AlertKind(
        name="CalibrationDrift",
        threshold=0.05,
        for_seconds=0,
        severity=WARNING,
        summary="probabilities and fight results have drifted apart",
        action="backtest the model on recent fights; train a new model, or move the alias to another one",
    ),
    AlertKind(
        name="StateLags",
        threshold=14,
        for_seconds=10 * MINUTE,
        severity=WARNING,
        summary="the champion's fighters' state does not contain an event of more than two weeks ago",
        action="append the events to the fight log, then: cornerman models update FOLDER --promote",
    ),
    AlertKind(
        name="FeedSilent",
        threshold=3,
        for_seconds=30,
        severity=CRITICAL,
        summary="a feed has missed several polls, or no feed runner leads it: its prices are old",
        action="cornerman feed status NAME has the failure; start a feed runner (cornerman feed run), or forget the "
        "feed (cornerman feed remove NAME)",
    ),
    AlertKind(
        name="FeedBudgetLow",
        threshold=1,
        below=True,
        for_seconds=0,
        severity=WARNING,
        summary="the rest of a feed's budget does not suffice for the polls of the last day before its events",
        action="buy credits, ask for fewer regions (CORNERMAN_FEED_REGIONS), or poll less often "
        "(CORNERMAN_FEED_NEAR_SECONDS)",
    ),
    AlertKind(
        name="DrawdownStop",
        threshold=0,
        for_seconds=0,
        severity=WARNING,
        summary="the bankroll is so far below its peak that no bet is placed, and decisions abstain as drawdown_stop",
        action="cornerman bets account and cornerman bets review; if the model is sound, raise drawdown_stop",
    ),
    AlertKind(
        name="PoolDown",
        threshold=1,
        below=True,
        for_seconds=MINUTE,
        severity=CRITICAL,
        summary="Prometheus cannot read a pool",
        action="check that the process runs (cornerman status), and that CORNERMAN_HTTP_HOST lets Prometheus connect",
    ),
    AlertKind(
        name="NoPool",
        threshold=1,
        below=True,
        for_seconds=0,
        severity=WARNING,
        summary="no healthy pool serves a queue",
        action="start one: cornerman up, or cornerman worker --pool QUEUE; find out why the last one ended",
    ),
    AlertKind(
        name="QueuePaused",
        threshold=0,
        for_seconds=0,
        severity=WARNING,
        summary="a queue is paused: its jobs wait, and expire at their deadlines",
        action="cornerman resume QUEUE as soon as the reason is gone",
    ),
    AlertKind(
        name="QueueNearlyFull",
        threshold=0.8,
        for_seconds=0,
        severity=WARNING,
        summary="a queue is close to CORNERMAN_MAX_QUEUE_LENGTH; new jobs beyond it are refused",
        action="add children or pools, or cancel jobs that are not needed; find the caller that sends them",
    ),
    AlertKind(
        name="ServerNearlyFull",
        threshold=0.9,
        for_seconds=0,
        severity=CRITICAL,
        summary="the server is close to the share of its maxmemory beyond which new jobs are refused",
        action="raise its maxmemory, or shorten CORNERMAN_RETENTION_SECONDS for future outcomes",
    ),
    AlertKind(
        name="JobsExpire",
        threshold=0.05,
        for_seconds=0,
        severity=WARNING,
        summary="more than 5% of the last outcomes are jobs that expired without an answer",
        action="add children or pools; check the deadlines of the caller; resume a paused queue",
    ),
    AlertKind(
        name="NoChampion",
        threshold=0,
        for_seconds=0,
        severity=WARNING,
        summary="no model is champion, so cards that name no model fail",
        action="train one: cornerman train FOLDER; or cornerman models promote MODEL",
    ),
    AlertKind(
        name="DriftAlarm",
        threshold=0,
        for_seconds=0,
        severity=CRITICAL,
        summary="results contradict a model: a drift alarm stands",
        action="cornerman models review; train and promote another model, then cornerman models clear-alarm MODEL",
    ),
    AlertKind(
        name="ScheduleFailed",
        threshold=0,
        for_seconds=0,
        severity=WARNING,
        summary="the last run of a schedule failed, or was not accepted until its next slot",
        action="cornerman schedules history NAME has the reason, and cornerman result its job; after it is mended: "
        "cornerman schedules run NAME",
    ),
    AlertKind(
        name="ScheduleLate",
        threshold=5 * MINUTE,
        for_seconds=0,
        severity=CRITICAL,
        summary="a slot of a schedule is due for five minutes and not submitted, or the server's clock was set back",
        action="start a monitoring pool (cornerman worker --pool monitor); if one is alive, its log has the reason; "
        "after a clock that was wrong: pause and resume the schedule",
    ),
    AlertKind(
        name="OutcomesUnconfirmed",
        threshold=30,
        for_seconds=0,
        severity=CRITICAL,
        summary="outcomes wait to be confirmed by the disk or by replicas, and no reader sees them before",
        action="bring back the replica or the disk that is missing (cornerman status names it); or set "
        "CORNERMAN_OUTCOME_DURABILITY lower and restart a pool, if a failover may lose answers",
    ),
    AlertKind(
        name="ArchiveBehind",
        threshold=2 * DAY,
        for_seconds=0,
        severity=WARNING,
        summary="for two days not all outcomes that are due were archived",
        action="cornerman jobs list --kind archive_outcomes has the runs; see that the schedule runs, a monitoring "
        "pool is alive, and the store has room",
    ),
    AlertKind(
        name="NoRelay",
        threshold=0,
        for_seconds=0,
        severity=CRITICAL,
        summary="no relay delivers outcomes to webhooks",
        action="start a gateway (cornerman serve) or a relay (cornerman relay); its log says why the last one ended",
    ),
    AlertKind(
        name="WebhookFails",
        threshold=15 * MINUTE,
        for_seconds=0,
        severity=WARNING,
        summary="every attempt at a webhook has failed for a quarter of an hour",
        action="cornerman webhooks deliveries ID has the answers: mend the receiver, or change the URL",
    ),
    AlertKind(
        name="WebhookBehind",
        threshold=HOUR,
        for_seconds=0,
        severity=WARNING,
        summary="an outcome of more than an hour ago is not delivered to a webhook",
        action="cornerman webhooks deliveries ID: a card whose delivery fails holds back its later outcomes; if none "
        "fails, the receiver is too slow",
    ),
    AlertKind(
        name="WebhookDeadLetters",
        threshold=0,
        for_seconds=0,
        severity=WARNING,
        summary="events were not delivered to a webhook within the time for retries",
        action="cornerman webhooks dead-letters ID; mend the receiver, then replay them, or purge them",
    ),
    AlertKind(
        name="WebhookDisabled",
        threshold=0,
        for_seconds=0,
        severity=WARNING,
        summary="a receiver answered 410, which disables its webhook",
        action="cornerman webhooks update ID --enable if it is to go on, with --url if it has moved; else delete it",
    ),
    AlertKind(
        name="WebhookMissed",
        threshold=0,
        for_seconds=0,
        severity=WARNING,
        summary="the stream dropped outcomes before they were delivered to a webhook, within the last day",
        action="read the outcomes of the jobs that are waited for by their ids; raise CORNERMAN_MAX_OUTCOMES, or run "
        "relays without a pause",
    ),
)
ALERTS = {kind.name: kind for kind in ALERT_KINDS}
"""The table by name."""
