"""Fitted XGBoost models, one a replica.

Covers binary models with the logistic loss. They are trained by `engine.boosting`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import xgboost as xgb

from engine.errors import ValidationError
from engine.member import Floats, check_request


@dataclass(frozen=True)
class BoosterSet:
    """B XGBoost models of one width, at least one."""

    boosters: tuple[xgb.Booster, ...]

    def __post_init__(self) -> None:
        """Raise ValidationError when there is none, or they differ in width."""
        if len(widths := {booster.num_features() for booster in self.boosters}) != 1:
            raise ValidationError(f"XGBoost models to join must agree in features, got {sorted(widths)}")

    @classmethod
    def concatenate(cls, sequence: Iterable[BoosterSet]) -> BoosterSet:
        """The replicas of all sets, in order."""
        return cls(tuple(booster for boosters in sequence for booster in boosters.boosters))

    @property
    def n_replicas(self) -> int:
        """Number of models."""
        return len(self.boosters)

    def predict_replicas(self, X: Floats, start: int = 0, stop: int | None = None) -> Floats:
        """P(first wins) by models start..stop-1 for rows X (n, f; NaN = missing): float64 (stop-start, n).

        XGBoost computes in float32, with one thread.
        """
        replicas = check_request(X, self.boosters[0].num_features(), self.n_replicas, start, stop)
        rows = xgb.DMatrix(X, nthread=1)
        answer = np.empty((len(replicas), len(X)))
        for row, replica in enumerate(replicas):
            # The caller has put the columns in order; names would have to be compared once a replica.
            answer[row] = self.boosters[replica].predict(rows, validate_features=False)
        return answer

    def to_blobs(self) -> dict[str, bytes]:
        """Every model in XGBoost's binary JSON, by file name, as `from_blobs` takes them."""
        return {
            f"replica_{replica:03d}.ubj": bytes(booster.save_raw("ubj"))
            for replica, booster in enumerate(self.boosters)
        }

    @classmethod
    def from_blobs(cls, blobs: Mapping[str, bytes]) -> BoosterSet:
        """The models in these blobs, in the order of their numbers. One of 75 trees of depth 6 takes 7 ms.

        Raises ValidationError when their names or bytes are not those of `to_blobs`.
        """
        boosters = []
        for replica in range(len(blobs)):
            name = f"replica_{replica:03d}.ubj"
            if name not in blobs:
                raise ValidationError(f"there are {len(blobs)} models but none is named {name}")
            booster = xgb.Booster({"nthread": 1})
            try:
                booster.load_model(bytearray(blobs[name]))
            except xgb.core.XGBoostError as error:
                reason = str(error).partition("\nStack trace")[0]
                raise ValidationError(
                    f"{name} is not a model that XGBoost {xgb.__version__} reads: {reason}"
                ) from error
            boosters.append(booster)
        return cls(tuple(boosters))
