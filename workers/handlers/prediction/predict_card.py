"""Handler of `PredictCard`: from the fights of a card to a `CardReport`, in five steps.

    resolve     open the model and apply the operator's overrides          (`resolved_card`)
    features    build the feature row of each fight that is not cached     (`fight_features`)
    predict     predict these fights without odds, and cache the answers   (`model_answers`)
    price       screen the quotes and add the market                       (`fight_prices`)
    report      decide on bets and translate everything into the report    (`card_report`)

A fight that fails in one step becomes a typed failure in its place; the other fights are answered.
"""

from __future__ import annotations

from typing import NamedTuple

from ledger.contracts.jobs import PredictCard
from ledger.contracts.reports import CardReport
from workers.handlers.prediction.card_report import build_report
from workers.handlers.prediction.fight_features import build_features
from workers.handlers.prediction.fight_prices import price_fights
from workers.handlers.prediction.model_answers import ModelAnswer, answer_fights, cached_answers
from workers.handlers.prediction.resolved_card import resolve_card
from workers.jobs.context import JobContext


class CardAnswer(NamedTuple):
    """The report of a card, and by fight id the bins of its features, which only the prediction log needs."""

    report: CardReport
    feature_bins: dict[str, str]


def predict_card(job: PredictCard, context: JobContext) -> CardReport:
    """Answer a card.

    Raises
    ------
    BundleError
        The model cannot be opened.
    EngineError
        The whole card cannot be answered, for example because of its memory limit. An error of one fight becomes its
        `FightFailure` in the report.
    """
    return answer_card(job, context).report


def answer_card(job: PredictCard, context: JobContext) -> CardAnswer:
    """Answer a card, and return the bins of its features too. Raises as `predict_card` does."""
    card = resolve_card(job, context)
    cached = cached_answers(card)
    features = build_features(card, [fight for fight in job.fights if fight.id not in cached])
    answers = answer_fights(card, features, cached)
    priced = price_fights(card, answers)
    bins = {fight: found.bins for fight, found in answers.items() if isinstance(found, ModelAnswer)}
    return CardAnswer(build_report(card, priced), bins)
