"""The rules of alerts that need metrics. `python -m workers.alerts.rules` prints them as a rule file for Prometheus.

Limits and texts are in `ledger.operations.alert_table`; the overrides of CORNERMAN_ALERTS
(`ledger.operations.alert_overrides`) apply to the rule file too.

The thresholds of memory, error rate, uncertainty and processing time are the migration guide's. Rules that need a
minimum number of jobs state it, because one failure among two jobs is no rate.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence

from msgspec import structs

from ledger.operations.alert_overrides import apply_overrides
from ledger.operations.alert_table import ALERT_KINDS, DAY, HOUR, MINUTE
from workers.alerts.evaluation import (
    FLEET_LABELS,
    POOL_LABELS,
    AlertRule,
    Expression,
    Gauge,
    Increase,
    IncreaseRatio,
    Ratio,
    Series,
    promql_duration,
)

_CARDS = (("kind", "predict_card"),)


def _coverage(level: str) -> IncreaseRatio:
    def grown(*where: tuple[str, str]) -> Increase:
        return Increase(Series("cornerman_market_probabilities_total", (("level", level), *where)), POOL_LABELS, DAY)

    return IncreaseRatio(grown(("inside", "true")), grown(), min_whole=200, complement_of=float(level))


EXPRESSIONS: dict[str, Expression] = {
    "HighMemory": Ratio(
        Gauge(Series("cornerman_child_memory_max_bytes"), POOL_LABELS),
        Gauge(Series("cornerman_child_memory_limit_bytes"), POOL_LABELS),
    ),
    "PoolMemoryExceeded": Ratio(
        Gauge(Series("cornerman_pool_memory_bytes", (("what", "used"),)), POOL_LABELS),
        Gauge(Series("cornerman_pool_memory_bytes", (("what", "limit"),)), POOL_LABELS),
    ),
    "HighErrorRate": IncreaseRatio(
        Increase(
            Series("cornerman_jobs_total", unequal=(("outcome", "succeeded"), ("outcome", "cancelled"))),
            POOL_LABELS,
            15 * MINUTE,
        ),
        Increase(Series("cornerman_jobs_total"), POOL_LABELS, 15 * MINUTE),
        min_whole=5,
    ),
    "FightsUnanswered": IncreaseRatio(
        Increase(Series("cornerman_fights_total", (("result", "failed"),)), POOL_LABELS, HOUR),
        Increase(Series("cornerman_fights_total"), POOL_LABELS, HOUR),
        min_whole=10,
    ),
    "HighUncertainty": IncreaseRatio(
        Increase(Series("cornerman_uncertainty_sum"), POOL_LABELS, HOUR),
        Increase(Series("cornerman_uncertainty_count"), POOL_LABELS, HOUR),
        min_whole=10,
    ),
    "SlowPredictions": IncreaseRatio(
        Increase(Series("cornerman_run_seconds_bucket", (*_CARDS, ("le", "5.0"))), POOL_LABELS, 5 * MINUTE),
        Increase(Series("cornerman_run_seconds_count", _CARDS), POOL_LABELS, 5 * MINUTE),
        min_whole=1,
        complement_of=1,
    ),
    "OldestJobWaits": Gauge(
        Series("cornerman_queue_oldest_age_seconds", (("queue", "predict"),)), (*FLEET_LABELS, "queue")
    ),
    "TrainingWaits": Gauge(
        Series("cornerman_queue_oldest_age_seconds", (("queue", "train"),)), (*FLEET_LABELS, "queue")
    ),
    "NoConsumer": Gauge(Series("cornerman_unattended_jobs"), (*FLEET_LABELS, "queue")),
    "DeadLetters": Gauge(Series("cornerman_dead_letters"), FLEET_LABELS),
    "ReferencePredictionsWrong": Gauge(
        Series("cornerman_check_passed", (("check", "prediction"),)), POOL_LABELS, minimum=True
    ),
    "ModelNotLoaded": Gauge(Series("cornerman_check_passed", (("check", "model_loaded"),)), POOL_LABELS, minimum=True),
    "NotConsuming": Gauge(Series("cornerman_check_passed", (("check", "consumption"),)), POOL_LABELS, minimum=True),
    "LedgerUnavailable": Gauge(Series("cornerman_ledger_up"), POOL_LABELS, minimum=True),
    "ServerEvicts": Gauge(Series("cornerman_server_evicts"), FLEET_LABELS),
    "LeasesLost": Increase(Series("cornerman_reaped_jobs_total", (("what", "requeued"),)), POOL_LABELS, 15 * MINUTE),
    "Quarantined": Gauge(Series("cornerman_quarantined_items"), (*FLEET_LABELS, "queue")),
    "IntervalsMissMarket95": _coverage("0.95"),
    "IntervalsMissMarket80": _coverage("0.8"),
    "CalibrationDrift": Gauge(Series("cornerman_calibration_drift"), (*FLEET_LABELS, "model")),
    "StateLags": Gauge(Series("cornerman_state_lag_days"), (*FLEET_LABELS, "model")),
    "FeedSilent": Gauge(Series("cornerman_feed_silent_polls"), (*FLEET_LABELS, "feed")),
    "FeedBudgetLow": Gauge(Series("cornerman_feed_budget_coverage"), (*FLEET_LABELS, "feed"), minimum=True),
    "ScheduleFailed": Gauge(Series("cornerman_schedule_failed"), (*FLEET_LABELS, "schedule")),
    "ScheduleLate": Gauge(Series("cornerman_schedule_late_seconds"), (*FLEET_LABELS, "schedule")),
    "OutcomesUnconfirmed": Gauge(Series("cornerman_unconfirmed_outcome_age_seconds"), FLEET_LABELS),
    "ArchiveBehind": Gauge(Series("cornerman_archive_lag_seconds"), FLEET_LABELS),
    "DrawdownStop": Gauge(Series("cornerman_drawdown_stopped"), (*FLEET_LABELS, "mode")),
    "PoolDown": Gauge(Series("up", (("job", "cornerman"),)), POOL_LABELS, minimum=True),
}
"""What each alert of `ledger.operations.alert_table` that needs metrics reads from them."""

RULES: tuple[AlertRule, ...] = tuple(
    AlertRule(**structs.asdict(kind), expression=EXPRESSIONS[kind.name])
    for kind in ALERT_KINDS
    if kind.name in EXPRESSIONS
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
            f"          runbook: {rule.runbook}",
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
