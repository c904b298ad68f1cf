"""Handler of `ReviewModel`: compare the live answers of a model with the results.

The sequential tests run over all fights whose results were added since the last drift alarm of the model was cleared,
in the order of the results and with their first known version, so that a later review continues the same sequence. The
scores are of all fights of the model, by the present results.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
import numpy as np
import structlog
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
from ledger.contracts.backtest_report import CalibrationLine, Estimate, IntervalCoverage, ReliabilityBin
from ledger.contracts.jobs import ReviewModel
from ledger.contracts.monitoring_reports import (
    FavouriteBin,
    FeatureShift,
    ReviewReport,
    ScoreWindow,
    SequentialTestResult,
)
from ledger.contracts.prediction_record import PredictionRecord
from ledger.models.alarms import DriftAlarm
from ledger.models.drift_figures import DriftFigures
from workers.handlers.monitoring.alarm_actions import apply_action
from workers.handlers.monitoring.result_matching import MAX_DAYS_APART, ScoredPrediction, TrackRecord, match_results
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
    entries = [entry for entry in ledger.prediction_log.entries() if entry.model == model and entry.role == "live"]
    record = track_record(entries, context)
    since_us = ledger.drift_alarms.cleared_at(model)
    tested = to_scored_fights([one for one in record.tested if one.batch > since_us])
    findings = tuple(
        msgspec.convert(found, SequentialTestResult, from_attributes=True)
        for found in run_tests(tested, out_of_fold_excess(model, context))
    )
    inputs = _inputs(model, entries, since_us, context)
    if inputs is not None and inputs.finding.alarm:
        log = structlog.get_logger("cornerman.alerts")
        log.warning("features have drifted", model=model, evidence=inputs.finding.highest)
    gap = calibration_gap_bound(tested)
    alarm = _alarm(model, findings, len(tested), context)
    found = None if inputs is None else inputs.finding
    ledger.drift_figures.set(DriftFigures(model=model, drift=gap, fights=len(tested), features=found))
    season = to_scored_fights(record.decided)
    return ReviewReport(
        model=model,
        fights=len(season),
        events=int(season.event[-1]) + 1 if len(season) else 0,
        waiting=record.waiting,
        void=record.void,
        contradicted=record.contradicted,
        windows=tuple(_windows(record.decided)),
        **_figures(season),
        proven_gap=gap,
        findings=findings if inputs is None else (*findings, inputs.finding),
        shifts=() if inputs is None else inputs.shifts,
        alarm=() if alarm is None else tuple(found.test for found in alarm.findings),
        action="none" if alarm is None else alarm.action,
        said="" if alarm is None else alarm.said,
    )


def track_record(entries: Sequence[PredictionRecord], context: JobContext) -> TrackRecord:
    """Match the live answers of a model to the results."""
    first = min((entry.day for entry in entries), default=date.max)
    results = context.ledger.fight_results.all(first - timedelta(days=MAX_DAYS_APART)) if entries else []
    return match_results(entries, results)


def to_scored_fights(judged: Sequence[ScoredPrediction]) -> ScoredFights:
    """Return decided fights as arrays; fights of one day whose results were added together are one event."""
    entries = [one.record for one in judged]
    groups = {
        group: number for number, group in enumerate(dict.fromkeys((one.batch, one.record.day) for one in judged))
    }
    levels = sorted({band.level for entry in entries for band in entry.intervals} | set(MISS_ALLOWANCE))
    bands = [{band.level: (band.lower, band.upper) for band in entry.intervals} for entry in entries]
    nowhere = (np.nan, np.nan)
    ends = {level: np.array([band.get(level, nowhere) for band in bands]).reshape(-1, 2) for level in levels}
    return ScoredFights(
        probability=np.array([entry.probability for entry in entries], dtype=np.float64),
        won=np.array([one.won == 0 for one in judged], dtype=np.int8),
        corner=np.array([{0: 1, 1: -1, None: 0}[entry.red] for entry in entries], dtype=np.int8),
        event=np.array([groups[one.batch, one.record.day] for one in judged], dtype=np.int64),
        market=np.array([np.nan if entry.market is None else entry.market for entry in entries], dtype=np.float64),
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
    standing = {alarm.model: alarm for alarm in ledger.drift_alarms.active()}.get(model)
    reasons = tuple(found for found in findings if found.alarm)
    if standing is None and reasons:
        raised_at = datetime.fromtimestamp(ledger.server.time(), UTC)
        raised = DriftAlarm(
            model=model, findings=reasons, fights=fights, raised_at=raised_at, job_id=context.claim.job_id
        )
        standing = ledger.drift_alarms.raise_alarm(raised)
    if standing is None or standing.acted:
        return standing
    done = apply_action(standing, context)
    tests = [found.test for found in done.findings]
    log = structlog.get_logger("cornerman.alerts")
    log.warning("drift alarm raised", model=model, tests=tests, action=done.action, said=done.said)
    return done


def _inputs(model: str, said: Sequence[PredictionRecord], since_us: int, context: JobContext) -> FeatureDrift | None:
    """Test the features of answered fights for drift; None if the model has no bins or no answers yet."""
    today = datetime.fromtimestamp(context.ledger.server.time(), UTC).date()
    entries = [
        entry
        for entry in said
        if entry.bins and entry.day < today
        if entry.at is None or entry.at.timestamp() * 1e6 > since_us
    ]
    if not entries:
        return None
    ensemble = context.models.get(model).model.ensemble
    about = ensemble.manifest.get("drift")
    if about is None:
        return None
    bins = FeatureBins.from_manifest(ensemble.columns, about)
    numbers = decode_bins([entry.bins for entry in entries], len(bins.columns))
    process = drift_e_process(numbers, np.array([entry.day.toordinal() for entry in entries]), bins.max_shares)
    found = msgspec.convert(
        summarise_e_process("features", process, DRIFT_ALPHA), SequentialTestResult, from_attributes=True
    )
    index = stability_index(numbers[-WINDOW_SIZES[0] :], bins)
    furthest = np.argsort(-index, kind="stable")[:MAX_SHIFTS]
    shifts = tuple(FeatureShift(feature=bins.columns[one], index=float(index[one])) for one in furthest)
    return FeatureDrift(found, shifts)


def _windows(judged: Sequence[ScoredPrediction]) -> list[ScoreWindow]:
    sizes = [len(judged), *(size for size in WINDOW_SIZES if size < len(judged))] if judged else []
    return [_window(judged[-size:]) for size in sizes]


def _window(judged: Sequence[ScoredPrediction]) -> ScoreWindow:
    season = to_scored_fights(judged)
    days = [one.record.day for one in judged]
    loss = log_losses(season.probability, season.won)
    priced = np.isfinite(season.market)
    difference = loss[priced] - log_losses(season.market[priced], season.won[priced])
    return ScoreWindow(
        fights=len(season),
        first_day=min(days),
        last_day=max(days),
        log_loss=float(loss.mean()),
        minus_market=_estimate(clustered_mean(difference, event_names(season)[priced])) if priced.any() else None,
    )


def _figures(season: ScoredFights) -> dict[str, Any]:
    if not len(season):
        return {}
    p, won, event = season.probability, season.won, event_names(season)
    bins = reliability_bins(p, won)
    return {
        "calibration": _line(season, event),
        "reliability": tuple(msgspec.convert(one, ReliabilityBin, from_attributes=True) for one in bins),
        "bands": tuple(band for level in season.intervals if (band := _band(level, season, event)) is not None),
        "coverage": tuple(
            cover for level in season.intervals if (cover := _coverage(level, season, event)) is not None
        ),
    }


def _line(season: ScoredFights, event: NDArray[np.str_]) -> CalibrationLine | None:
    """Return the calibration line, for the red corner if it is known; None if there are too few events."""
    if season.event[-1] + 1 < MIN_EVENTS:
        return None
    turned = season.corner == -1
    p = np.where(turned, 1.0 - season.probability, season.probability)
    try:
        line = calibration_line(p, np.where(turned, 1 - season.won, season.won).astype(np.int8), event)
    except TrainingError:
        return None  # every favourite won, or lost: the line has no slope
    return msgspec.convert(line, CalibrationLine, from_attributes=True)


def _band(level: float, season: ScoredFights, event: NDArray[np.str_]) -> FavouriteBin | None:
    lower, upper = season.intervals[level]
    known = np.isfinite(lower)
    if not known.any():
        return None
    first = season.probability[known] >= 0.5
    ends = np.where(first, lower[known], 1.0 - upper[known]), np.where(first, upper[known], 1.0 - lower[known])
    won = clustered_share(np.where(first, season.won[known] == 1, season.won[known] == 0), event[known])
    return FavouriteBin(level=level, lower=float(ends[0].mean()), won=_estimate(won), upper=float(ends[1].mean()))


def _coverage(level: float, season: ScoredFights, event: NDArray[np.str_]) -> IntervalCoverage | None:
    lower, upper = season.intervals[level]
    known = np.isfinite(lower) & np.isfinite(season.market)
    if not known.any():
        return None
    inside = (lower <= season.market) & (season.market <= upper)
    return IntervalCoverage(
        level=level,
        inside=_estimate(clustered_share(inside[known], event[known])),
        width=float(np.mean(upper[known] - lower[known])),
    )


def event_names(season: ScoredFights) -> NDArray[np.str_]:
    """Return the event of each fight as a string, as the scores need it."""
    return season.event.astype(np.str_)


def _estimate(estimate: object) -> Estimate:
    return msgspec.convert(estimate, Estimate, from_attributes=True)
