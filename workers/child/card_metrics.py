"""Metrics of an answered card: sums and counts, without names and prices."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from ledger.contracts.jobs import Job, PredictCard
from ledger.contracts.reports import CardReport, FightReport, Report
from workers.pool.event_pipe import CardMetrics

MEASURED_LEVELS = {0.8: "0.8", 0.95: "0.95"}
"""The measured levels, with their labels. Other levels that a caller may ask for get no time series."""


def measure_card(job: Job, report: Report, claimed_at: datetime) -> CardMetrics | None:
    """Return the metrics of a card and its answer; None for another kind of job."""
    if not isinstance(job, PredictCard) or not isinstance(report, CardReport):
        return None
    answered = [fight for fight in report.fights if isinstance(fight, FightReport)]
    widths: dict[str, list[float]] = {}
    covered: Counter[str] = Counter()
    uncovered: Counter[str] = Counter()
    uncertainties = []
    for fight in answered:
        side = fight.fighters[0]  # the other side's interval is its mirror image
        for interval in side.intervals:
            if interval.level == job.rules.level:
                uncertainties.append(interval.upper - interval.lower)
            if (level := MEASURED_LEVELS.get(interval.level)) is None:
                continue
            widths.setdefault(level, []).append(interval.upper - interval.lower)
            if side.market_probability is not None and interval.method == "anchored":
                inside = interval.lower <= side.market_probability <= interval.upper
                (covered if inside else uncovered)[level] += 1
    abstained = [fight.decision for fight in answered if fight.decision.action == "abstain"]
    return CardMetrics(
        bets=len(answered) - len(abstained),
        abstentions=Counter(reason for decision in abstained for reason in decision.reasons),
        abstained=len(abstained),
        failures=Counter(fight.failure.code.value for fight in report.fights if not isinstance(fight, FightReport)),
        uncertainties=uncertainties,
        widths={level: sum(values) / len(values) for level, values in widths.items()},
        covered=covered,
        uncovered=uncovered,
        odds_age_seconds=_odds_age_seconds(job, claimed_at),
    )


def _odds_age_seconds(card: PredictCard, claimed_at: datetime) -> float | None:
    read = [quote.as_of for fight in card.fights for quote in fight.quotes if quote.as_of is not None]
    return (claimed_at - min(read)).total_seconds() if read else None
