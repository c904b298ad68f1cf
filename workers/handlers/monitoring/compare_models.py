"""Handler of `CompareModels`: score two models and the market on the same fights."""

from __future__ import annotations

from itertools import combinations

import msgspec
import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from engine.arrays import Floats
from engine.data.fighter_names import fight_key
from engine.statistics.scores import clustered_mean, log_losses
from ledger.contracts.job_reports.backtest_report import Estimate
from ledger.contracts.job_reports.monitoring_reports import ComparisonReport, Score, ScoreDifference
from ledger.contracts.jobs import CompareModels
from workers.handlers.monitoring.result_matching import match_results
from workers.handlers.monitoring.served_states import answer_states, known_days
from workers.jobs.context import JobContext


def compare_models(job: CompareModels, context: JobContext) -> ComparisonReport:
    """Compare two models on the fights that both answered, live or as a shadow.

    Raises BundleNotFoundError for an unknown name.
    """
    models = [context.models.resolve(name) for name in (job.champion, job.challenger)]
    entries = context.ledger.prediction_log.entries()
    results = context.ledger.fight_results.all()
    origins = context.ledger.models.origins()
    # All updates of a model count as that model, unless the two that are compared differ in nothing else.
    names = [origins.get(model, model) for model in models]
    if names[0] == names[1]:
        origins, names = {}, models
    answered = [
        [entry for entry in entries if origins.get(entry.model, entry.model) == name and entry.market is not None]
        for name in names
    ]
    common = set.intersection(*({(entry.day, fight_key(entry.fighters)) for entry in each} for each in answered))
    matched = [
        match_results([entry for entry in each if (entry.day, fight_key(entry.fighters)) in common], results)
        for each in answered
    ]
    champion, challenger = (
        {(first.record.day, fight_key(first.record.fighters)): first for first in record.decided} for record in matched
    )
    fights = sorted(champion.keys() & challenger.keys())
    won = np.array([champion[fight].won == 0 for fight in fights], dtype=np.int8)
    event = np.array([str(day) for day, _ in fights], dtype=np.str_)
    forecasts = {
        "champion": np.array([champion[fight].record.probability for fight in fights]),
        "challenger": np.array([challenger[fight].record.probability for fight in fights]),
        "market": np.array([champion[fight].record.market for fight in fights], dtype=np.float64),
    }
    losses: dict[str, dict[str, Floats]] = {
        name: {"log_loss": log_losses(p, won), "brier": np.square(p - won)} for name, p in forecasts.items()
    }
    days = known_days([entry for each in answered for entry in each], context)
    states = (
        answer_states("champion", [champion[fight] for fight in fights], days),
        answer_states("challenger", [challenger[fight] for fight in fights], days),
    )
    return ComparisonReport(
        champion=models[0],
        challenger=models[1],
        fights=len(fights),
        events=len(np.unique(event)),
        waiting=matched[0].waiting,
        void=matched[0].void,
        scores=tuple(
            msgspec.convert({"forecast": name} | {what: float(loss.mean()) for what, loss in each.items()}, Score)
            for name, each in losses.items()
        )
        if fights
        else (),
        differences=tuple(
            ScoreDifference(one=first, other=second, **_differences(losses[first], losses[second], event))
            for second, first in combinations(("market", "champion", "challenger"), 2)
        )
        if fights
        else (),
        states=states if any(each.fresh or each.lagging for each in states) else UNSET,
    )


def _differences(first: dict[str, Floats], second: dict[str, Floats], event: NDArray[np.str_]) -> dict[str, Estimate]:
    return {
        what: msgspec.convert(clustered_mean(first[what] - second[what], event), Estimate, from_attributes=True)
        for what in first
    }
