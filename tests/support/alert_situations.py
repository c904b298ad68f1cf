"""Situations for each alert, in which it has to fire or to keep still, for the pool's judgement and for promtool alike.

A situation is the course of some series, a value a minute; what ends the course is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

MINUTES = 21

Course = tuple[float, ...]


def always(value: float) -> Course:
    return (value,) * MINUTES


def grows(to: float) -> Course:
    return tuple(to * minute / (MINUTES - 1) for minute in range(MINUTES))


def lately(before: float, after: float, minutes: int) -> Course:
    return (before,) * (MINUTES - minutes) + (after,) * minutes


@dataclass(frozen=True)
class Situation:
    alert: str
    fires: bool
    series: dict[str, Course]
    """Courses by series, written as in PromQL."""


def share(alert: str, part: str, whole: str, *, of: float, beyond: float, within: float, few: float) -> list[Situation]:
    """Growth of `part` beyond and within the threshold, and beyond it among too few to judge."""
    return [
        Situation(alert, True, {part: grows(of * beyond), whole: grows(of)}),
        Situation(alert, False, {part: grows(of * within), whole: grows(of)}),
        Situation(alert, False, {part: grows(few * beyond), whole: grows(few)}),
        Situation(alert, False, {part: always(of * beyond), whole: always(of)}),  # of long ago
    ]


def gauge(alert: str, series: str, *, beyond: float, within: float, for_minutes: int) -> list[Situation]:
    """A value beyond the threshold for long enough, just now, and never."""
    situations = [
        Situation(alert, True, {series: lately(within, beyond, for_minutes + 1)}),
        Situation(alert, False, {series: always(within)}),
        Situation(alert, False, {series: (*always(beyond)[:-1], within)}),  # it is over
    ]
    if for_minutes:
        situations.append(Situation(alert, False, {series: lately(within, beyond, for_minutes)}))
    return situations


FAILED = 'cornerman_jobs_total{kind="predict_card",outcome="internal"}'
SUCCEEDED = 'cornerman_jobs_total{kind="predict_card",outcome="succeeded"}'
CANCELLED = 'cornerman_jobs_total{kind="predict_card",outcome="cancelled"}'
USED, LIMIT = "cornerman_child_memory_max_bytes", "cornerman_child_memory_limit_bytes"
POOL_USED, POOL_LIMIT = (f'cornerman_pool_memory_bytes{{what="{what}"}}' for what in ("used", "limit"))
UNANSWERED, ANSWERED = 'cornerman_fights_total{result="failed"}', 'cornerman_fights_total{result="bet"}'
INSIDE, OUTSIDE = (
    f'cornerman_market_probabilities_total{{level="{{level}}",inside="{inside}"}}' for inside in ("true", "false")
)


def coverage(alert: str, level: str, *, low: float, high: float) -> list[Situation]:
    inside, outside = (series.replace("{level}", level) for series in (INSIDE, OUTSIDE))
    return [
        Situation(alert, fires, {inside: grows(fights * held), outside: grows(fights * (1 - held))})
        for fires, fights, held in [(True, 1000, low), (False, 1000, high), (False, 100, low)]
    ]


SITUATIONS = [
    Situation("HighMemory", True, {USED: lately(1e6, 95e6, 2), LIMIT: always(1e8)}),
    Situation("HighMemory", False, {USED: always(85e6), LIMIT: always(1e8)}),
    Situation("HighMemory", False, {USED: always(95e9)}),  # without a limit
    Situation("PoolMemoryExceeded", True, {POOL_USED: lately(1e8, 3e8, 3), POOL_LIMIT: always(2e8)}),
    Situation("PoolMemoryExceeded", False, {POOL_USED: always(1.9e8), POOL_LIMIT: always(2e8)}),
    Situation("PoolMemoryExceeded", False, {POOL_USED: lately(1e8, 3e8, 1), POOL_LIMIT: always(2e8)}),
    Situation("HighErrorRate", True, {FAILED: grows(6), SUCCEEDED: grows(80)}),
    Situation("HighErrorRate", False, {FAILED: grows(4), SUCCEEDED: grows(96)}),
    Situation("HighErrorRate", False, {FAILED: lately(0, 1, 2), SUCCEEDED: always(3)}),  # one job is no rate
    Situation("HighErrorRate", False, {CANCELLED: grows(50), SUCCEEDED: grows(50)}),  # as the callers wished
    Situation("HighErrorRate", False, {FAILED: always(50), SUCCEEDED: grows(50)}),  # of long ago
    Situation("FightsUnanswered", True, {UNANSWERED: grows(60), ANSWERED: grows(40)}),
    Situation("FightsUnanswered", False, {UNANSWERED: grows(40), ANSWERED: grows(60)}),
    Situation("FightsUnanswered", False, {UNANSWERED: grows(6), ANSWERED: grows(2)}),
    *share(
        "HighUncertainty",
        "cornerman_uncertainty_sum",
        "cornerman_uncertainty_count",
        of=100,
        beyond=0.45,
        within=0.35,
        few=5,
    ),
    Situation(
        "SlowPredictions",
        True,
        {
            'cornerman_run_seconds_bucket{kind="predict_card",le="5.0"}': grows(90),
            'cornerman_run_seconds_count{kind="predict_card"}': grows(100),
        },
    ),
    Situation(
        "SlowPredictions",
        False,
        {
            'cornerman_run_seconds_bucket{kind="predict_card",le="5.0"}': grows(98),
            'cornerman_run_seconds_count{kind="predict_card"}': grows(100),
        },
    ),
    *gauge(
        "OldestJobWaits", 'cornerman_queue_oldest_age_seconds{queue="predict"}', beyond=61, within=59, for_minutes=1
    ),
    *gauge(
        "TrainingWaits", 'cornerman_queue_oldest_age_seconds{queue="train"}', beyond=7300, within=7100, for_minutes=10
    ),
    *gauge("NoConsumer", 'cornerman_unattended_jobs{queue="train"}', beyond=1, within=0, for_minutes=1),
    *gauge("DeadLetters", "cornerman_dead_letters", beyond=1, within=0, for_minutes=0),
    *gauge(
        "ReferencePredictionsWrong", 'cornerman_check_passed{check="prediction"}', beyond=0, within=1, for_minutes=0
    ),
    *gauge("ModelNotLoaded", 'cornerman_check_passed{check="model_loaded"}', beyond=0, within=1, for_minutes=2),
    *gauge("NotConsuming", 'cornerman_check_passed{check="consumption"}', beyond=0, within=1, for_minutes=2),
    *gauge("LedgerUnavailable", "cornerman_ledger_up", beyond=0, within=1, for_minutes=1),
    *gauge("ServerEvicts", "cornerman_server_evicts", beyond=1, within=0, for_minutes=0),
    Situation("LeasesLost", True, {'cornerman_reaped_jobs_total{what="requeued"}': lately(0, 3, 2)}),
    Situation("LeasesLost", False, {'cornerman_reaped_jobs_total{what="requeued"}': always(3)}),
    Situation("LeasesLost", False, {'cornerman_reaped_jobs_total{what="expired"}': lately(0, 3, 2)}),
    *gauge("Quarantined", 'cornerman_quarantined_items{queue="predict"}', beyond=1, within=0, for_minutes=0),
    *coverage("IntervalsMissMarket95", "0.95", low=0.85, high=0.94),
    *coverage("IntervalsMissMarket80", "0.8", low=0.65, high=0.78),
    *gauge("CalibrationDrift", 'cornerman_calibration_drift{model="abc"}', beyond=0.06, within=0.04, for_minutes=0),
    *gauge("ScheduleFailed", 'cornerman_schedule_failed{schedule="nightly"}', beyond=1, within=0, for_minutes=0),
    *gauge(
        "ScheduleLate", 'cornerman_schedule_late_seconds{schedule="nightly"}', beyond=301, within=300, for_minutes=0
    ),
    *gauge("OutcomesUnconfirmed", "cornerman_unconfirmed_outcome_age_seconds", beyond=31, within=30, for_minutes=0),
    *gauge("ArchiveBehind", "cornerman_archive_lag_seconds", beyond=172_801, within=172_800, for_minutes=0),
    *gauge("StateLags", 'cornerman_state_lag_days{model="abc"}', beyond=15, within=14, for_minutes=10),
    *gauge("FeedSilent", 'cornerman_feed_silent_polls{feed="ufc"}', beyond=3.5, within=2.5, for_minutes=1),
    *gauge("FeedBudgetLow", 'cornerman_feed_budget_coverage{feed="ufc"}', beyond=0.9, within=1, for_minutes=0),
    *gauge("DrawdownStop", 'cornerman_drawdown_stopped{mode="paper"}', beyond=1, within=0, for_minutes=0),
    *gauge("PoolDown", "up", beyond=0, within=1, for_minutes=1),
]
