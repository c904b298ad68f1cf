"""Step "resolve": a card with its open model, the engine's configuration and the operator's overrides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC

import msgspec

from engine.ensemble import (
    ProductionEnsembleConfig,
    ProductionEnsembleManager,
    create_production_ensemble_config,
)
from engine.model.derived_bundle import origin_of
from ledger.contracts.bets import BettingRoom
from ledger.contracts.controls import Controls
from ledger.contracts.jobs import Fight, PredictCard
from ledger.jobs.quote_age import QuoteWindow, quote_window
from workers.jobs.context import JobContext
from workers.jobs.operator_overrides import ReplicaSelection, limit_batch_size, limit_threads, select_replicas
from workers.models.model_cache import OpenModel

_encoder = msgspec.json.Encoder(order="deterministic")


@dataclass(frozen=True)
class ResolvedCard:
    """The properties that all fights of a card share.

    Attributes
    ----------
    job : PredictCard
    opened : OpenModel
        The model, its digest, and its cached predictions.
    config : ProductionEnsembleConfig
        The engine's configuration for this card.
    replicas : ReplicaSelection
        How many bootstrap replicas answer, and the operator's overrides of that number.
    levels : sequence of float
        Levels of all intervals that the report or its decisions need, ascending.
    quote_window : QuoteWindow
        The time window of usable quotes.
    may_bet : bool
        False while a drift alarm makes the model abstain.
    room : BettingRoom or None
        What the caps on bets leave; None if there are none.
    cache_keys : mapping of str to bytes
        By fight id: the key of the fight's prediction in the cache of the model.
    """

    job: PredictCard
    opened: OpenModel[ProductionEnsembleManager]
    config: ProductionEnsembleConfig
    replicas: ReplicaSelection
    levels: Sequence[float]
    quote_window: QuoteWindow
    may_bet: bool
    room: BettingRoom | None
    cache_keys: Mapping[str, bytes]

    @property
    def manager(self) -> ProductionEnsembleManager:
        """The open model."""
        return self.opened.model


def resolve_card(job: PredictCard, context: JobContext) -> ResolvedCard:
    """Open the model of a card and apply the operator's overrides. Raises BundleError and ValidationError."""
    opened, controls = context.models.get(job.model), context.claim.controls
    replicas = select_replicas(controls, job.intervals.bootstrap_samples, opened.model.ensemble.n_replicas)
    config = _config(job, opened.model, replicas, controls)
    levels = sorted({*job.intervals.levels, job.rules.level})
    return ResolvedCard(
        job=job,
        opened=opened,
        config=config,
        replicas=replicas,
        levels=levels,
        quote_window=quote_window(job),
        may_bet=not any(controls.flag(f"abstain.{model}") for model in {opened.digest, _origin(opened)}),
        room=context.claim.room,
        cache_keys={fight.id: _cache_key(fight, job, config, levels) for fight in job.fights},
    )


def _origin(opened: OpenModel[ProductionEnsembleManager]) -> str:
    """Return the model that a drift alarm of this model is about."""
    return origin_of(opened.digest, opened.model.ensemble.manifest)


def _config(
    job: PredictCard, manager: ProductionEnsembleManager, replicas: ReplicaSelection, controls: Controls
) -> ProductionEnsembleConfig:
    return create_production_ensemble_config(
        bootstrap_samples=replicas.replicas,
        max_memory_mb=manager.config.max_memory_mb,
        n_jobs=limit_threads(controls, manager.config.n_jobs),
        batch_size=limit_batch_size(controls, manager.config.batch_size),
        confidence_level=max(job.intervals.levels),
        min_prediction_confidence=job.rules.min_prediction_confidence,
        max_uncertainty_threshold=job.rules.max_uncertainty_threshold,
    )


def _cache_key(fight: Fight, job: PredictCard, config: ProductionEnsembleConfig, levels: Sequence[float]) -> bytes:
    """Encode the inputs of a prediction without odds, except the model: neither prices nor other fights."""
    unpriced = msgspec.structs.replace(fight, id="", quotes=(), invalid_quotes=(), same_bout_as=None, conflicts_with=())
    settings = (
        config.bootstrap_samples,
        config.confidence_level,
        config.min_prediction_confidence,
        config.max_uncertainty_threshold,
        levels,
    )
    return _encoder.encode((unpriced, job.event_start.astimezone(UTC).date(), settings))
