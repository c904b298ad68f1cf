"""Step "predict": the answers of a model to fights without odds, cached with the open model.

Odds change many times before a fight; nothing else about the fight does. So the prediction is cached under all that it
was computed from, and a card that comes again with other prices costs no inference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from engine.ensemble import ProductionEnsembleManager
from engine.errors import EngineError
from engine.model.prediction import UnpricedPrediction
from engine.monitoring.drift import FeatureBins
from workers.handlers.prediction.fight_features import FeatureRow, first_corner
from workers.handlers.prediction.resolved_card import ResolvedCard


@dataclass(frozen=True)
class ModelAnswer:
    """The answer of a model to one fight, without odds.

    Attributes
    ----------
    unpriced : UnpricedPrediction
        The prediction of the ensemble.
    flags : tuple of str
        The flags of the feature row, as in `FightReport.flags`.
    fighter_ids : pair of str or None
        The fight log's ids of the fighters.
    bins : str
        The bins of the features, for the prediction log; empty for a model without bins.
    """

    unpriced: UnpricedPrediction
    flags: tuple[str, ...]
    fighter_ids: tuple[str | None, str | None]
    bins: str = ""


def cached_answers(card: ResolvedCard) -> dict[str, ModelAnswer]:
    """Return by fight id the answers that are in the cache of the model, with contributions if the card wants them."""
    cached = {fight: card.opened.predictions.get(key) for fight, key in card.cache_keys.items()}
    return {fight: answer for fight, answer in cached.items() if answer is not None and _suffices(answer, card)}


def answer_fights(
    card: ResolvedCard,
    features: Mapping[str, FeatureRow | EngineError],
    cached: Mapping[str, ModelAnswer],
) -> dict[str, ModelAnswer | EngineError]:
    """Predict the fights that have a feature row, and cache these answers.

    Parameters
    ----------
    card : ResolvedCard
        The card.
    features : mapping
        By fight id: the feature row or the error of each fight that is not cached.
    cached : mapping
        By fight id: the answers of the cached fights.

    Returns
    -------
    dict
        By fight id, in the order of the card: the answer or the error of each fight.

    Raises
    ------
    EngineError
        The whole card cannot be predicted: BootstrapError, MemoryLimitError.
    """
    rows = {fight: row for fight, row in features.items() if isinstance(row, FeatureRow)}
    errors = {fight: error for fight, error in features.items() if isinstance(error, EngineError)}
    predictions, bins = _predict(card, rows), _bins(card.manager, list(rows.values()))
    answers = {
        fight: ModelAnswer(unpriced, row.flags, row.fighter_ids, row_bins)
        for (fight, row), unpriced, row_bins in zip(rows.items(), predictions, bins, strict=True)
    }
    for fight, answer in answers.items():
        card.opened.predictions.put(card.cache_keys[fight], answer)
    by_fight: dict[str, ModelAnswer | EngineError] = {**cached, **answers, **errors}
    return {fight.id: by_fight[fight.id] for fight in card.job.fights}


def _suffices(answer: ModelAnswer, card: ResolvedCard) -> bool:
    return answer.unpriced.contributions is not None or not card.job.contributions


def _predict(card: ResolvedCard, rows: Mapping[str, FeatureRow]) -> list[UnpricedPrediction]:
    if not rows:
        return []
    fights = {fight.id: fight for fight in card.job.fights}
    return card.manager.with_config(card.config).predict_unpriced_rows(
        np.stack([row.values for row in rows.values()]),
        corners=[first_corner(fights[fight]) for fight in rows],
        experience=[row.experience for row in rows.values()],
        levels=card.levels,
        contributions=card.job.contributions,
        rating_parts=[row.rating_parts for row in rows.values()],
    )


def _bins(manager: ProductionEnsembleManager, rows: Sequence[FeatureRow]) -> list[str]:
    manifest = manager.ensemble.manifest.get("drift")
    if manifest is None or not rows:
        return [""] * len(rows)
    return FeatureBins.from_manifest(manager.ensemble.columns, manifest).encode_bins(
        np.stack([row.values for row in rows])
    )
