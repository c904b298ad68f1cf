"""Hyperparameters and limits of one XGBoost model; importing them does not load XGBoost."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np

from engine.errors import ValidationError

_TINY = float(np.finfo(np.float32).tiny)
_KINDS: dict[Any, str] = {Integral: "a whole number", Real: "a number"}
_BOUNDS: dict[str, tuple[Any, float, float]] = {
    "n_estimators": (Integral, 1, 100_000),
    "max_depth": (Integral, 1, 16),
    "learning_rate": (Real, _TINY, 1),
    "max_memory_mb": (Real, _TINY, np.inf),
    "max_training_time_s": (Real, _TINY, np.inf),
    "early_stopping_rounds": (Integral, 1, 100_000),
    "min_child_weight": (Real, 0, np.inf),
    "subsample": (Real, _TINY, 1),
    "colsample_bytree": (Real, _TINY, 1),
    "reg_lambda": (Real, 0, np.inf),
    "max_bin": (Integral, 2, 65_535),
    "seed": (Integral, 0, 2**31 - 1),
    "n_jobs": (Integral, 1, 1024),
}


@dataclass(frozen=True, kw_only=True)
class ProductionXGBoostConfig:
    """Hyperparameters and limits of one XGBoost model; names are XGBoost's if the meaning is the same."""

    n_estimators: int = 300
    max_depth: int = 6
    learning_rate: float = 0.05
    max_memory_mb: float = 4096
    max_training_time_s: float = 3600
    early_stopping_rounds: int | None = 20  # None: all n_estimators rounds are kept
    min_child_weight: float = 1.0
    subsample: float = 1.0
    colsample_bytree: float = 1.0
    reg_lambda: float = 1.0
    max_bin: int = 256
    seed: int = 0
    n_jobs: int = 1  # a process forked from one that boosted with more threads hangs in its own boosting
    allow_missing: bool = True

    def __post_init__(self) -> None:
        """Raise ValidationError naming the first value that is out of bounds."""
        for name, (kind, low, high) in _BOUNDS.items():
            value: Any = getattr(self, name)
            if value is None and name == "early_stopping_rounds":
                continue
            if not isinstance(value, kind) or not low <= value <= high:
                raise ValidationError(f"{name} must be {_KINDS[kind]} from {low:g} to {high:g}, not {value!r}")

    def booster_params(self) -> dict[str, Any]:
        """Return the parameters of `xgboost.train`."""
        return {
            "objective": "binary:logistic",
            "disable_default_eval_metric": True,  # `boost` computes it
            "tree_method": "hist",
            "max_depth": self.max_depth,
            "learning_rate": self.learning_rate,
            "min_child_weight": self.min_child_weight,
            "subsample": self.subsample,
            "colsample_bytree": self.colsample_bytree,
            "reg_lambda": self.reg_lambda,
            "max_bin": self.max_bin,
            "seed": self.seed,
            "nthread": self.n_jobs,
            "verbosity": 0,
        }
