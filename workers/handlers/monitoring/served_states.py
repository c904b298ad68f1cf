"""From which states of the fighters live answers came: fresh or lagging ones, scored apart.

An answer lags if a result is on record that was known when it was given, and is later than the state that it came from:
a fight after the state's last day and before the day of the answer. Answers that came from no state (a feature matrix,
features in the job) or that were recorded by an earlier version are not counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date
from typing import Literal

import msgspec
import numpy as np

from engine.statistics.scores import clustered_mean, log_losses
from ledger.contracts.job_reports.backtest_report import Estimate
from ledger.contracts.job_reports.monitoring_reports import AnswerStates, ServedWindow
from ledger.contracts.jobs import StateKind
from ledger.contracts.prediction_record import PredictionRecord
from workers.handlers.monitoring.result_matching import ScoredPrediction
from workers.jobs.context import JobContext


def known_days(records: Sequence[PredictionRecord], context: JobContext) -> tuple[date, ...]:
    """Return the days of all results after the oldest state of these answers, in ascending order."""
    cutoffs = [record.state_cutoff for record in records if record.state_cutoff is not None]
    if not cutoffs:
        return ()
    return tuple(sorted({result.date for result in context.ledger.fight_results.all(min(cutoffs))}))


def state_kind(record: PredictionRecord, days: Sequence[date]) -> StateKind | None:
    """Return the kind of state that an answer came from; None if it came from none, or that is not recorded."""
    cutoff = record.state_cutoff
    if cutoff is None:
        return None
    answered = record.day if record.at is None else min(record.day, record.at.astimezone(UTC).date())
    return "lagging" if any(cutoff < day < answered for day in days) else "fresh"


def served_windows(scored: Sequence[ScoredPrediction], days: Sequence[date]) -> tuple[ServedWindow, ...]:
    """Return the scores of decided fights by the state and the corner of their answers."""
    groups: dict[tuple[StateKind, bool], list[ScoredPrediction]] = {}
    for one in scored:
        if (kind := state_kind(one.record, days)) is not None:
            groups.setdefault((kind, one.record.red is not None), []).append(one)
    return tuple(_window(kind, known, groups[kind, known]) for kind, known in sorted(groups))


def answer_states(
    forecast: Literal["champion", "challenger"], scored: Sequence[ScoredPrediction], days: Sequence[date]
) -> AnswerStates:
    """Return how many of a model's answers came from each kind of state."""
    kinds = [state_kind(one.record, days) for one in scored]
    return AnswerStates(forecast=forecast, fresh=kinds.count("fresh"), lagging=kinds.count("lagging"))


def _window(kind: StateKind, corner_known: bool, scored: Sequence[ScoredPrediction]) -> ServedWindow:
    records = [one.record for one in scored]
    won = np.array([one.won == 0 for one in scored], dtype=np.int8)
    loss = log_losses(np.array([record.probability for record in records]), won)
    market = np.array([np.nan if record.market is None else record.market for record in records], dtype=np.float64)
    priced = np.isfinite(market)
    event = np.array([str(record.day) for record in records], dtype=np.str_)
    difference = None
    if priced.any():
        found = clustered_mean(loss[priced] - log_losses(market[priced], won[priced]), event[priced])
        difference = msgspec.convert(found, Estimate, from_attributes=True)
    return ServedWindow(
        state=kind,
        corner="known" if corner_known else "unknown",
        fights=len(scored),
        log_loss=float(loss.mean()),
        minus_market=difference,
    )
