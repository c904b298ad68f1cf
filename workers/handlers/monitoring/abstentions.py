"""What abstaining has cost or saved: one unit on the best side of each fight at the price that was offered.

The best side is the one whose expected value by the answer's probability is highest, whether or not it is above 0. Of
several answers to a fight the last one before it began counts, as everywhere in the prediction log.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import date, timedelta

import msgspec
import numpy as np

from engine.statistics.complements import complement
from engine.statistics.scores import clustered_mean
from ledger.contracts.job_reports.backtest_report import Estimate
from ledger.contracts.job_reports.bets_report import MAX_REVIEWED_GROUPS, AbstentionReview
from ledger.contracts.jobs import ReviewBets
from ledger.contracts.prediction_record import PredictionRecord
from workers.handlers.monitoring.result_matching import MAX_DAYS_APART, ScoredPrediction, match_results
from workers.jobs.context import JobContext

ALL = "all"
"""Name of all abstentions together."""


@dataclass(frozen=True)
class Abstentions:
    """Abstentions by reason, and the numbers of those without a price and of those without a result."""

    by_reason: tuple[AbstentionReview, ...]
    unpriced: int
    waiting: int


def review_abstentions(job: ReviewBets, bet_on: Set[str], context: JobContext) -> Abstentions:
    """Review the fights that the last answer abstained from; fights in `bet_on` have a bet and are left out.

    The prediction log knows days only: those from the day of `since` up to the day before `until` are reviewed.
    """
    entries = context.ledger.prediction_log.entries(None if job.since is None else job.since.date())
    until = date.max if job.until is None else job.until.date()
    records = [entry for entry in entries if entry.role == "live" and entry.day < until]
    if not records:
        return Abstentions((), 0, 0)
    first = min(record.day for record in records)
    matched = match_results(records, context.ledger.fight_results.all(first - timedelta(days=MAX_DAYS_APART)))
    scored = [one for one in matched.decided if one.record.action == "abstain" and one.record.fight_id not in bet_on]
    profits = [profit_of_best_side(one) for one in scored]
    groups: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for one, profit in zip(scored, profits, strict=True):
        if profit is not None:
            for reason in (ALL, *one.record.reasons):
                groups[reason].append((profit, str(one.record.day)))
    return Abstentions(_reviews(groups), sum(profit is None for profit in profits), matched.waiting)


def profit_of_best_side(one: ScoredPrediction) -> float | None:
    """Return the profit of one unit on the side with the highest expected value; None without a price."""
    record = one.record
    values = [
        (probability * price, -side)
        for side, (probability, price) in enumerate(zip(_probabilities(record), record.offered or (), strict=False))
        if price is not None
    ]
    if not values or record.offered is None:
        return None
    side = -max(values)[1]
    price = record.offered[side]
    return (price or 0.0) - 1.0 if one.won == side else -1.0


def _probabilities(record: PredictionRecord) -> tuple[float, float]:
    return record.probability, complement(record.probability)


def _reviews(groups: Mapping[str, Sequence[tuple[float, str]]]) -> tuple[AbstentionReview, ...]:
    """Return the reviews, `all` first, then the reasons with the most fights."""
    ranked = sorted(groups.items(), key=lambda pair: (pair[0] != ALL, -len(pair[1]), pair[0]))
    return tuple(_review(reason, found) for reason, found in ranked)[:MAX_REVIEWED_GROUPS]


def _review(reason: str, found: Sequence[tuple[float, str]]) -> AbstentionReview:
    profit = np.array([each for each, _ in found], dtype=np.float64)
    mean = clustered_mean(profit, np.array([day for _, day in found], dtype=np.str_))
    return AbstentionReview(
        reason=reason,
        fights=len(found),
        profit=float(profit.sum()),
        per_fight=msgspec.convert(mean, Estimate, from_attributes=True),
    )
