"""The prediction settings of the migration guide, validated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.bootstrap import MIN_REPLICAS, create_bootstrap_config
from engine.errors import ValidationError
from engine.members.member_stack import MEMBER_NAMES
from engine.members.weights import check_weights


@dataclass(frozen=True, slots=True)
class ProductionEnsembleConfig:
    """Prediction settings; see `create_production_ensemble_config`."""

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
    """Return validated prediction settings.

    Parameters
    ----------
    model_weights
        Weights of random_forest, xgboost and neural_network, summing to 1. They must be the weights that the model was
        calibrated with; None takes those of the model.
    bootstrap_samples
        Replicas used for the sampling interval; 0 switches it off.
    max_memory_mb
        Limit for the resident memory of this process, in MiB.
    n_jobs
        Threads; -1 for one a core.
    confidence_level
        Level of the intervals, in (0, 1).
    min_prediction_confidence
        A prediction is flagged if the likelier fighter's calibrated probability is below this. Values up to 1/2 never
        flag one.
    max_uncertainty_threshold
        A prediction is flagged if its interval at `UNCERTAINTY_LEVEL` is wider than this.
    batch_size
        Largest number of replicas in memory at once in each thread, if they take 3 MB or more; it never changes a
        prediction.

    Raises
    ------
    ValidationError
        If a value is out of bounds; the message names it.
    """
    weights = None if model_weights is None else dict(model_weights)
    if weights is not None:
        check_weights(weights, dict.fromkeys(MEMBER_NAMES))
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
