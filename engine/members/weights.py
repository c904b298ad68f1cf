"""Weights of the ensemble members."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from engine.arrays import Floats
from engine.errors import ValidationError


def check_weights(weights: Mapping[str, float], names: Mapping[str, object]) -> None:
    """Raise ValidationError unless the weights name exactly the members, are not negative and sum to 1."""
    if not names:
        raise ValidationError("there are no models: load some first")
    if set(weights) != set(names):
        raise ValidationError(f"weights are for {sorted(weights)}, the models are {sorted(names)}")
    total = sum(weights.values())
    if any(not value >= 0 for value in weights.values()) or not abs(total - 1.0) <= 1e-9:
        raise ValidationError(f"weights must not be negative and must sum to 1, not {total:g}: {dict(weights)}")


def weighted_sum(predictions: Mapping[str, Floats], weights: Mapping[str, float]) -> Floats:
    """Return the sum of weight times prediction, in the order of the members' names, so that its bits are stable."""
    names = sorted(weights)
    total = predictions[names[0]] * weights[names[0]]
    for name in names[1:]:
        total = total + predictions[name] * weights[name]
    return np.asarray(total)
