"""Handler of `ReviewModel`: compare the live answers of a model with the results.

The sequential tests run over all fights whose results were added since the last drift alarm of the model was cleared,
in the order of the results and with their first known version, so that a later review continues the same sequence. The
scores are of all fights of the model, by the present results.

Models that differ in the fighters' state alone are one model here: a weekly update continues the sequence of its base.
An alarm is about the model that was trained or re-anchored last, and stands for all of its updates.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
import numpy as np
import structlog
from msgspec import UNSET
from numpy.typing import NDArray

from engine.errors import TrainingError
from engine.monitoring.drift import ALPHA as DRIFT_ALPHA
from engine.monitoring.drift import FeatureBins, decode_bins, drift_e_process, stability_index
from engine.monitoring.sequential_tests import (
    MISS_ALLOWANCE,
    ScoredFights,
    calibration_gap_bound,
    run_tests,
    summarise_e_process,
)
from engine.statistics.scores import (
    MIN_EVENTS,
    calibration_line,
    clustered_mean,
    clustered_share,
    log_losses,
    reliability_bins,
)
from ledger.contracts.job_reports.backtest_report import CalibrationLine, Estimate, IntervalCoverage, ReliabilityBin
from ledger.contracts.job_reports.monitoring_reports import (
    FavouriteBin,
    FeatureShift,
    ReviewReport,
    ScoreWindow,
    SequentialTestResult,
)
from ledger.contracts.jobs import ReviewModel
from ledger.contracts.prediction_record import PredictionRecord
from ledger.models.drift_alarms import DriftAlarm
from ledger.models.drift_figures import DriftFigures
from workers.handlers.monitoring.alarm_actions import apply_action
from workers.handlers.monitoring.result_matching import MAX_DAYS_APART, ScoredPrediction, TrackRecord, match_results
from workers.handlers.monitoring.served_states import known_days, served_windows
from workers.jobs.context import JobContext

WINDOW_SIZES = (100, 300)
"""Numbers of last fights for which the log loss is reported, in addition to all fights."""
MAX_SHIFTS = 5


class FeatureDrift(NamedTuple):
    """The drift of the features of answered fights: the result of the test, and the features that moved most."""

    finding: SequentialTestResult
    shifts: tuple[FeatureShift, ...]


def review_model(job: ReviewModel, context: JobContext) -> ReviewReport:
    """Review a model, raise a drift alarm and act on it, and publish the drift figures.

    Raises BundleNotFoundError for an unknown name.
    """
    ledger = context.ledger
    model = context.models.resolve(job.model)
    origins = ledger.models.origins()
    origin = origins.get(model, model)
    records = [
        record
        for record in ledger.prediction_log.entries()
        if record.role == "live" and origins.get(record.model, record.model) == origin
    ]
    matched = track_record(records, context)
    since_us = ledger.drift_alarms.cleared_at(origin)
    tested = to_scored_fights([one for one in matched.tested if one.batch > since_us])
    findings = tuple(
        msgspec.convert(found, SequentialTestResult, from_attributes=True)
        for found in run_tests(tested, out_of_fold_excess(model, context))
    )
    drift = _feature_drift(model, records, since_us, context)
    if drift is not None and drift.finding.alarm:
        log = structlog.get_logger("cornerman.alerts")
        log.warning("features have drifted", model=model, evidence=drift.finding.highest)
    gap = calibration_gap_bound(tested)
    alarm = _alarm(origin, findings, len(tested), context)
    found = None if drift is None else drift.finding
    ledger.drift_figures.set(DriftFigures(model=model, drift=gap, fights=len(tested), features=found))
    fights = to_scored_fights(matched.decided)
    served = served_windows(matched.decided, known_days(records, context))
    return ReviewReport(
        model=model,
        fights=len(fights),
        events=int(fights.event[-1]) + 1 if len(fights) else 0,
        waiting=matched.waiting,
        void=matched.void,
        contradicted=matched.contradicted,
        windows=tuple(_windows(matched.decided)),
        **_figures(fights),
        proven_gap=gap,
        findings=findings if drift is None else (*findings, drift.finding),
        shifts=() if drift is None else drift.shifts,
        alarm=() if alarm is None else tuple(found.test for found in alarm.findings),
        action="none" if alarm is None else alarm.action,
        said="" if alarm is None else alarm.said,
        served=served or UNSET,
    )


def track_record(records: Sequence[PredictionRecord], context: JobContext) -> TrackRecord:
    """Match the live answers of a model to the results."""
    first = min((record.day for record in records), default=date.max)
    results = context.ledger.fight_results.all(first - timedelta(days=MAX_DAYS_APART)) if records else []
    return match_results(records, results)


def to_scored_fights(scored: Sequence[ScoredPrediction]) -> ScoredFights:
    """Return decided fights as arrays; fights of one day whose results were added together are one event."""
    records = [one.record for one in scored]
    groups = {
        group: number for number, group in enumerate(dict.fromkeys((one.batch, one.record.day) for one in scored))
    }
    levels = sorted({band.level for record in records for band in record.intervals} | set(MISS_ALLOWANCE))
    bands = [{band.level: (band.lower, band.upper) for band in record.intervals} for record in records]
    unknown = (np.nan, np.nan)
    ends = {level: np.array([band.get(level, unknown) for band in bands]).reshape(-1, 2) for level in levels}
    return ScoredFights(
        probability=np.array([record.probability for record in records], dtype=np.float64),
        won=np.array([one.won == 0 for one in scored], dtype=np.int8),
        corner=np.array([{0: 1, 1: -1, None: 0}[record.red] for record in records], dtype=np.int8),
        event=np.array([groups[one.batch, one.record.day] for one in scored], dtype=np.int64),
        market=np.array([np.nan if record.market is None else record.market for record in records], dtype=np.float64),
        intervals={level: (values[:, 0], values[:, 1]) for level, values in ends.items()},
    )


def out_of_fold_excess(model: str, context: JobContext) -> float | None:
    """Return the model's out-of-fold log loss minus the market's; None if no fight had odds."""
    summaries = [known["summary"] for known in context.ledger.models.all() if known["digest"] == model]
    metrics = summaries[0].get("metrics", {}) if summaries else {}
    if not {"log_loss_priced", "market_log_loss"} <= metrics.keys():
        return None
    return float(metrics["log_loss_priced"] - metrics["market_log_loss"])


def _alarm(model: str, findings: Sequence[SequentialTestResult], fights: int, context: JobContext) -> DriftAlarm | None:
    """Return the active alarm of the model; raise one if a test has stopped, and act on a new one."""
    ledger = context.ledger
    active = {alarm.model: alarm for alarm in ledger.drift_alarms.active()}.get(model)
    reasons = tuple(found for found in findings if found.alarm)
    if active is None and reasons:
        raised_at = datetime.fromtimestamp(ledger.server.time(), UTC)
        raised = DriftAlarm(
            model=model, findings=reasons, fights=fights, raised_at=raised_at, job_id=context.claim.job_id
        )
        active = ledger.drift_alarms.raise_alarm(raised)
    if active is None or active.acted:
        return active
    done = apply_action(active, context)
    tests = [found.test for found in done.findings]
    log = structlog.get_logger("cornerman.alerts")
    log.warning("drift alarm raised", model=model, tests=tests, action=done.action, said=done.said)
    return done


def _feature_drift(
    model: str, records: Sequence[PredictionRecord], since_us: int, context: JobContext
) -> FeatureDrift | None:
    """Test the features of answered fights for drift; None if the model has no bins or no answers yet."""
    today = datetime.fromtimestamp(context.ledger.server.time(), UTC).date()
    records = [
        record
        for record in records
        if record.bins and record.day < today
        if record.at is None or record.at.timestamp() * 1e6 > since_us
    ]
    if not records:
        return None
    ensemble = context.models.get(model).model.ensemble
    about = ensemble.manifest.get("drift")
    if about is None:
        return None
    bins = FeatureBins.from_manifest(ensemble.columns, about)
    numbers = decode_bins([record.bins for record in records], len(bins.columns))
    process = drift_e_process(numbers, np.array([record.day.toordinal() for record in records]), bins.max_shares)
    found = msgspec.convert(
        summarise_e_process("features", process, DRIFT_ALPHA), SequentialTestResult, from_attributes=True
    )
    index = stability_index(numbers[-WINDOW_SIZES[0] :], bins)
    furthest = np.argsort(-index, kind="stable")[:MAX_SHIFTS]
    shifts = tuple(FeatureShift(feature=bins.columns[one], index=float(index[one])) for one in furthest)
    return FeatureDrift(found, shifts)


def _windows(scored: Sequence[ScoredPrediction]) -> list[ScoreWindow]:
    sizes = [len(scored), *(size for size in WINDOW_SIZES if size < len(scored))] if scored else []
    return [_window(scored[-size:]) for size in sizes]


def _window(scored: Sequence[ScoredPrediction]) -> ScoreWindow:
    fights = to_scored_fights(scored)
    days = [one.record.day for one in scored]
    loss = log_losses(fights.probability, fights.won)
    priced = np.isfinite(fights.market)
    difference = loss[priced] - log_losses(fights.market[priced], fights.won[priced])
    return ScoreWindow(
        fights=len(fights),
        first_day=min(days),
        last_day=max(days),
        log_loss=float(loss.mean()),
        minus_market=_estimate(clustered_mean(difference, event_names(fights)[priced])) if priced.any() else None,
    )


def _figures(fights: ScoredFights) -> dict[str, Any]:
    if not len(fights):
        return {}
    p, won, event = fights.probability, fights.won, event_names(fights)
    bins = reliability_bins(p, won)
    return {
        "calibration": _line(fights, event),
        "reliability": tuple(msgspec.convert(one, ReliabilityBin, from_attributes=True) for one in bins),
        "bands": tuple(band for level in fights.intervals if (band := _band(level, fights, event)) is not None),
        "coverage": tuple(
            coverage for level in fights.intervals if (coverage := _coverage(level, fights, event)) is not None
        ),
    }


def _line(fights: ScoredFights, event: NDArray[np.str_]) -> CalibrationLine | None:
    """Return the calibration line, for the red corner if it is known; None if there are too few events."""
    if fights.event[-1] + 1 < MIN_EVENTS:
        return None
    flipped = fights.corner == -1
    p = np.where(flipped, 1.0 - fights.probability, fights.probability)
    try:
        line = calibration_line(p, np.where(flipped, 1 - fights.won, fights.won).astype(np.int8), event)
    except TrainingError:
        return None  # every favourite won, or lost: the line has no slope
    return msgspec.convert(line, CalibrationLine, from_attributes=True)


def _band(level: float, fights: ScoredFights, event: NDArray[np.str_]) -> FavouriteBin | None:
    lower, upper = fights.intervals[level]
    known = np.isfinite(lower)
    if not known.any():
        return None
    first = fights.probability[known] >= 0.5
    ends = np.where(first, lower[known], 1.0 - upper[known]), np.where(first, upper[known], 1.0 - lower[known])
    won = clustered_share(np.where(first, fights.won[known] == 1, fights.won[known] == 0), event[known])
    return FavouriteBin(level=level, lower=float(ends[0].mean()), won=_estimate(won), upper=float(ends[1].mean()))


def _coverage(level: float, fights: ScoredFights, event: NDArray[np.str_]) -> IntervalCoverage | None:
    lower, upper = fights.intervals[level]
    known = np.isfinite(lower) & np.isfinite(fights.market)
    if not known.any():
        return None
    inside = (lower <= fights.market) & (fights.market <= upper)
    return IntervalCoverage(
        level=level,
        inside=_estimate(clustered_share(inside[known], event[known])),
        width=float(np.mean(upper[known] - lower[known])),
    )


def event_names(fights: ScoredFights) -> NDArray[np.str_]:
    """Return the event of each fight as a string, as the scores need it."""
    return fights.event.astype(np.str_)


def _estimate(estimate: object) -> Estimate:
    return msgspec.convert(estimate, Estimate, from_attributes=True)
