"""How the ensemble answers: the migration guide's configuration, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.bootstrap import MIN_REPLICAS, create_bootstrap_config
from engine.errors import ValidationError
from engine.members.member_stack import MEMBERS
from engine.members.weights import check_weights


@dataclass(frozen=True, slots=True)
class ProductionEnsembleConfig:
    """How the ensemble answers; see `create_production_ensemble_config`."""

    model_weights: dict[str, float] | None = None
    bootstrap_samples: int = 100
    max_memory_mb: float = 4096.0
    n_jobs: int = -1
    confidence_level: float = 0.95
    min_prediction_confidence: float = 0.5
    max_uncertainty_threshold: float = 0.4
    batch_size: int = 25


def create_production_ensemble_config(
    model_weights: Mapping[str, float] | None = None,
    bootstrap_samples: int = 100,
    max_memory_mb: float = 4096.0,
    n_jobs: int = -1,
    confidence_level: float = 0.95,
    min_prediction_confidence: float = 0.5,
    max_uncertainty_threshold: float = 0.4,
    batch_size: int = 25,
) -> ProductionEnsembleConfig:
    """Return a checked configuration.

    model_weights: shares of random_forest, xgboost and neural_network, summing to 1; they must be those that the
    model was calibrated with. None takes the model's own.
    bootstrap_samples: replicas behind the sampling interval; 0 switches it off. max_memory_mb: limit for the resident
    memory of this process, in MiB. n_jobs: threads, -1 for one a core. confidence_level: of the intervals.
    min_prediction_confidence: least calibrated probability of the likelier fighter, below which a prediction is
    flagged; it can be above 1/2 only. max_uncertainty_threshold: greatest width of the interval at UNCERTAINTY_LEVEL
    that is not flagged. batch_size: most replicas in memory at once for each thread; never changes an answer.
    Raises ValidationError naming the value.
    """
    weights = None if model_weights is None else dict(model_weights)
    if weights is not None:
        check_weights(weights, dict.fromkeys(MEMBERS))
    if bootstrap_samples != 0 and bootstrap_samples < MIN_REPLICAS:
        raise ValidationError(
            f"bootstrap_samples must be 0 (no sampling interval) or at least {MIN_REPLICAS}, not {bootstrap_samples}"
        )
    for name, value in (
        ("min_prediction_confidence", min_prediction_confidence),
        ("max_uncertainty_threshold", max_uncertainty_threshold),
    ):
        if not 0.0 <= value <= 1.0:
            raise ValidationError(f"{name} must lie between 0 and 1, not {value}")
    create_bootstrap_config(max(1, bootstrap_samples), confidence_level, n_jobs, max_memory_mb, batch_size)
    return ProductionEnsembleConfig(
        weights,
        bootstrap_samples,
        max_memory_mb,
        n_jobs,
        confidence_level,
        min_prediction_confidence,
        max_uncertainty_threshold,
        batch_size,
    )
