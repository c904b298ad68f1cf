"""The table of alerts. `python -m workers.alerts.rules` prints it as a rule file for Prometheus.

The overrides of CORNERMAN_ALERTS (`workers.alerts.overrides`) apply to the rule file too.

The thresholds of memory, error rate, uncertainty and processing time are the migration guide's. Rules that need a
minimum number of jobs state it, because one failure among two jobs is no rate.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence

from workers.alerts.evaluation import (
    DAY,
    FLEET_LABELS,
    HOUR,
    MINUTE,
    POOL_LABELS,
    AlertRule,
    Gauge,
    Increase,
    IncreaseRatio,
    Ratio,
    Series,
    promql_duration,
)
from workers.alerts.overrides import apply_overrides

WARNING, CRITICAL = "warning", "critical"
_CARDS = (("kind", "predict_card"),)


def _coverage(level: str, threshold: float) -> AlertRule:
    def grown(*where: tuple[str, str]) -> Increase:
        return Increase(Series("cornerman_market_probabilities_total", (("level", level), *where)), POOL_LABELS, DAY)

    return AlertRule(
        name=f"IntervalsMissMarket{100 * float(level):.0f}",
        expression=IncreaseRatio(grown(("inside", "true")), grown(), min_whole=200, complement_of=float(level)),
        threshold=threshold,
        for_seconds=10 * MINUTE,
        severity=WARNING,
        summary=f"intervals of level {level} contain fewer market probabilities than they should",
        action="the market has moved away from the model: abstain, backtest on recent fights, train a new model",
    )


RULES: tuple[AlertRule, ...] = (
    AlertRule(
        name="HighMemory",
        expression=Ratio(
            Gauge(Series("cornerman_child_memory_max_bytes"), POOL_LABELS),
            Gauge(Series("cornerman_child_memory_limit_bytes"), POOL_LABELS),
        ),
        threshold=0.9,
        for_seconds=30,
        severity=WARNING,
        summary="a child is close to its memory limit; a job that exceeds it fails as memory_limit_exceeded",
        action="find the kind of job in the job lines (peak_memory_mb); send smaller cards, fewer replicas, or raise "
        "CORNERMAN_CHILD_MAX_MEMORY_MB",
    ),
    AlertRule(
        name="PoolMemoryExceeded",
        expression=Ratio(
            Gauge(Series("cornerman_pool_memory_bytes", (("what", "used"),)), POOL_LABELS),
            Gauge(Series("cornerman_pool_memory_bytes", (("what", "limit"),)), POOL_LABELS),
        ),
        threshold=1,
        for_seconds=MINUTE,
        severity=WARNING,
        summary="a pool uses more memory than its limit; it starts no job until it is below",
        action="other processes of the machine have taken memory, or the limit was lowered: /readyz has the figures; "
        "run fewer children, or raise max_memory_mb",
    ),
    AlertRule(
        name="HighErrorRate",
        expression=IncreaseRatio(
            Increase(
                Series("cornerman_jobs_total", unequal=(("outcome", "succeeded"), ("outcome", "cancelled"))),
                POOL_LABELS,
                15 * MINUTE,
            ),
            Increase(Series("cornerman_jobs_total"), POOL_LABELS, 15 * MINUTE),
            min_whole=5,
        ),
        threshold=0.05,
        for_seconds=0,
        severity=CRITICAL,
        summary="more than 5% of the jobs fail",
        action="group the job lines by outcome: invalid_input and unknown_fighter come from the feed, model_* from "
        "the models folder, internal is a defect of cornerman with its traceback in the log",
    ),
    AlertRule(
        name="FightsUnanswered",
        expression=IncreaseRatio(
            Increase(Series("cornerman_fights_total", (("result", "failed"),)), POOL_LABELS, HOUR),
            Increase(Series("cornerman_fights_total"), POOL_LABELS, HOUR),
            min_whole=10,
        ),
        threshold=0.5,
        for_seconds=0,
        severity=WARNING,
        summary="more than half of the fights of answered cards have no answer",
        action="cornerman_fight_failures_total has the reasons: unknown_fighter means that the names of the feed and "
        "of the fight log differ, or that the log is old",
    ),
    AlertRule(
        name="HighUncertainty",
        expression=IncreaseRatio(
            Increase(Series("cornerman_uncertainty_sum"), POOL_LABELS, HOUR),
            Increase(Series("cornerman_uncertainty_count"), POOL_LABELS, HOUR),
            min_whole=10,
        ),
        threshold=0.4,
        for_seconds=0,
        severity=WARNING,
        summary="the intervals that decide are wider than 0.4 on average",
        action="expected on cards with many debutants; otherwise check the flags in the reports (stale_fight_log, "
        "features_imputed) and train on a newer log",
    ),
    AlertRule(
        name="SlowPredictions",
        expression=IncreaseRatio(
            Increase(Series("cornerman_run_seconds_bucket", (*_CARDS, ("le", "5.0"))), POOL_LABELS, 5 * MINUTE),
            Increase(Series("cornerman_run_seconds_count", _CARDS), POOL_LABELS, 5 * MINUTE),
            min_whole=1,
            complement_of=1,
        ),
        threshold=0.05,
        for_seconds=0,
        severity=WARNING,
        summary="more than 5% of the cards take longer than 5 s to process",
        action="use no more children than cores, fewer replicas (max_replicas), smaller cards; check that the machine "
        "does not swap",
    ),
    AlertRule(
        name="OldestJobWaits",
        expression=Gauge(
            Series("cornerman_queue_oldest_age_seconds", (("queue", "predict"),)), (*FLEET_LABELS, "queue")
        ),
        threshold=60,
        for_seconds=30,
        severity=WARNING,
        summary="a card has waited for more than a minute",
        action="add children or pools; check for a paused queue, and for jobs without a deadline behind urgent ones",
    ),
    AlertRule(
        name="TrainingWaits",
        expression=Gauge(Series("cornerman_queue_oldest_age_seconds", (("queue", "train"),)), (*FLEET_LABELS, "queue")),
        threshold=2 * HOUR,
        for_seconds=10 * MINUTE,
        severity=WARNING,
        summary="a training job has waited for more than two hours",
        action="add a training pool, or cancel jobs that are not needed",
    ),
    AlertRule(
        name="NoConsumer",
        expression=Gauge(Series("cornerman_unattended_jobs"), (*FLEET_LABELS, "queue")),
        threshold=0,
        for_seconds=30,
        severity=CRITICAL,
        summary="jobs wait in a queue that no healthy pool consumes",
        action="start a pool for the queue: cornerman worker --pool QUEUE; find out why the last one ended",
    ),
    AlertRule(
        name="DeadLetters",
        expression=Gauge(Series("cornerman_dead_letters"), FLEET_LABELS),
        threshold=0,
        for_seconds=0,
        severity=WARNING,
        summary="a job failed after too many worker crashes",
        action="cornerman dead-letters list, show; requeue after the cause is removed, or purge",
    ),
    AlertRule(
        name="ReferencePredictionsWrong",
        expression=Gauge(Series("cornerman_check_passed", (("check", "prediction"),)), POOL_LABELS, minimum=True),
        threshold=1,
        below=True,
        for_seconds=0,
        severity=CRITICAL,
        summary="the model does not reproduce its reference predictions on this machine",
        action="do not bet on this pool's answers: stop the pool; /readyz has the difference; copy the bundle again",
    ),
    AlertRule(
        name="ModelNotLoaded",
        expression=Gauge(Series("cornerman_check_passed", (("check", "model_loaded"),)), POOL_LABELS, minimum=True),
        threshold=1,
        below=True,
        for_seconds=2 * MINUTE,
        severity=CRITICAL,
        summary="a predicting pool cannot open its model",
        action="/readyz has the model and the reason: train one, copy the bundle, or share the models folder",
    ),
    AlertRule(
        name="NotConsuming",
        expression=Gauge(Series("cornerman_check_passed", (("check", "consumption"),)), POOL_LABELS, minimum=True),
        threshold=1,
        below=True,
        for_seconds=2 * MINUTE,
        severity=CRITICAL,
        summary="a pool runs and consumes nothing",
        action="the pool exits by itself and is restarted; if that repeats, check the server and the log of the pool",
    ),
    AlertRule(
        name="LedgerUnavailable",
        expression=Gauge(Series("cornerman_ledger_up"), POOL_LABELS, minimum=True),
        threshold=1,
        below=True,
        for_seconds=30,
        severity=CRITICAL,
        summary="a pool cannot reach the server",
        action="check whether the server is up, full, or still loading; the pool's log has the error",
    ),
    AlertRule(
        name="ServerEvicts",
        expression=Gauge(Series("cornerman_server_evicts"), FLEET_LABELS),
        threshold=0,
        for_seconds=0,
        severity=CRITICAL,
        summary="the server may evict jobs and outcomes, and new jobs are refused",
        action="set the server's maxmemory-policy to noeviction",
    ),
    AlertRule(
        name="LeasesLost",
        expression=Increase(Series("cornerman_reaped_jobs_total", (("what", "requeued"),)), POOL_LABELS, 15 * MINUTE),
        threshold=0,
        for_seconds=0,
        severity=WARNING,
        summary="jobs were taken over from a pool whose leases expired",
        action="find the pool that is gone: a machine crashed or stalled, or the kernel's out-of-memory killer ended "
        "the pool",
    ),
    AlertRule(
        name="Quarantined",
        expression=Gauge(Series("cornerman_quarantined_items"), (*FLEET_LABELS, "queue")),
        threshold=0,
        for_seconds=0,
        severity=WARNING,
        summary="something other than a ledger writes to a queue",
        action="cornerman quarantine list; check who may write to the server (deploy/users.md); then purge",
    ),
    _coverage("0.95", 0.05),
    _coverage("0.8", 0.1),
    AlertRule(
        name="CalibrationDrift",
        expression=Gauge(Series("cornerman_calibration_drift"), (*FLEET_LABELS, "model")),
        threshold=0.05,
        for_seconds=0,
        severity=WARNING,
        summary="probabilities and fight results have drifted apart",
        action="backtest the model on recent fights; train a new model, or move the alias to another one",
    ),
    AlertRule(
        name="StateLags",
        expression=Gauge(Series("cornerman_state_lag_days"), (*FLEET_LABELS, "model")),
        threshold=14,
        for_seconds=10 * MINUTE,
        severity=WARNING,
        summary="the champion's fighters' state does not contain an event of more than two weeks ago",
        action="append the events to the fight log, then: cornerman models update FOLDER --promote",
    ),
    AlertRule(
        name="PoolDown",
        expression=Gauge(
            Series("up", (("job", "cornerman"),)), POOL_LABELS, minimum=True
        ),  # a series of Prometheus itself
        threshold=1,
        below=True,
        for_seconds=MINUTE,
        severity=CRITICAL,
        summary="Prometheus cannot read a pool",
        action="check that the process runs (cornerman status), and that CORNERMAN_HTTP_HOST lets Prometheus connect",
    ),
)


def rule_file(rules: Sequence[AlertRule]) -> str:
    """Return the rules as a Prometheus rule file."""
    lines = [
        "# Written by `python -m workers.alerts.rules`; change the table there.",
        "groups:",
        "  - name: cornerman",
        "    rules:",
    ]
    for rule in rules:
        lines += [
            f"      - alert: {rule.name}",
            f"        expr: {json.dumps(rule.promql())}",
            f"        for: {promql_duration(rule.for_seconds)}",
            f"        labels: {{severity: {rule.severity}}}",
            "        annotations:",
            f"          summary: {json.dumps(rule.summary)}",
            f"          action: {json.dumps(rule.action)}",
            f"          runbook: docs/guides/operators.md#{rule.name.lower()}",
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the rule file; exit with a message if the overrides are invalid."""
    try:
        rules = apply_overrides(RULES, os.environ.get("CORNERMAN_ALERTS", ""))
    except ValueError as error:
        sys.exit(str(error))
    print(rule_file(rules), end="")  # noqa: T201 - the purpose of this command


if __name__ == "__main__":
    main()
