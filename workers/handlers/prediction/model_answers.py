"""Step "predict": predictions of fights without odds, cached with the open model.

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
    """The prediction of a fight without odds.

    Attributes
    ----------
    summary : UnpricedPrediction
    flags : tuple of str
        Of the feature row, as in `FightReport.flags`.
    fighter_ids : pair of str or None
        The fight log's ids of the fighters.
    bins : str
        The bins of the features, for the prediction log; empty for a model without bins.
    """

    summary: UnpricedPrediction
    flags: tuple[str, ...]
    fighter_ids: tuple[str | None, str | None]
    bins: str = ""


def cached_answers(card: ResolvedCard) -> dict[str, ModelAnswer]:
    """Return by fight id the predictions that are in the cache of the model."""
    cached = {fight: card.opened.predictions.get(key) for fight, key in card.cache_keys.items()}
    return {fight: prediction for fight, prediction in cached.items() if prediction is not None}


def answer_fights(
    card: ResolvedCard,
    features: Mapping[str, FeatureRow | EngineError],
    cached: Mapping[str, ModelAnswer],
) -> dict[str, ModelAnswer | EngineError]:
    """Predict the fights that have features, cache these predictions, and add the cached ones and the errors.

    Returns
    -------
    dict
        By fight id, in the order of the card.

    Raises
    ------
    EngineError
        The whole card cannot be predicted: BootstrapError, MemoryLimitError.
    """
    rows = {fight: row for fight, row in features.items() if isinstance(row, FeatureRow)}
    errors = {fight: error for fight, error in features.items() if isinstance(error, EngineError)}
    summaries, bins = _summaries(card, rows), _bins(card.manager, list(rows.values()))
    predicted = {
        fight: ModelAnswer(summary, row.flags, row.fighter_ids, row_bins)
        for (fight, row), summary, row_bins in zip(rows.items(), summaries, bins, strict=True)
    }
    for fight, prediction in predicted.items():
        card.opened.predictions.put(card.cache_keys[fight], prediction)
    by_fight: dict[str, ModelAnswer | EngineError] = {**cached, **predicted, **errors}
    return {fight.id: by_fight[fight.id] for fight in card.job.fights}


def _summaries(card: ResolvedCard, rows: Mapping[str, FeatureRow]) -> list[UnpricedPrediction]:
    if not rows:
        return []
    fights = {fight.id: fight for fight in card.job.fights}
    return card.manager.with_config(card.config).predict_unpriced_rows(
        np.stack([row.values for row in rows.values()]),
        corners=[first_corner(fights[fight]) for fight in rows],
        experience=[row.experience for row in rows.values()],
        levels=card.levels,
    )


def _bins(manager: ProductionEnsembleManager, rows: Sequence[FeatureRow]) -> list[str]:
    manifest = manager.ensemble.manifest.get("drift")
    if manifest is None or not rows:
        return [""] * len(rows)
    return FeatureBins.from_manifest(manager.ensemble.columns, manifest).encode_bins(
        np.stack([row.values for row in rows])
    )
