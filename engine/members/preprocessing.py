"""The preprocessing of an imported estimator's pipeline, step by step as scikit-learn does it.

Members trained by the engine take rows as they are; those of an imported model may follow an imputer and a scaler. Each
step is one operation on each element, in float64, so that the bits are those of the original and do not depend on the
batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from engine.arrays import Array, Floats, ReplicatedMember
from engine.errors import ValidationError

Operation = Literal["fill", "standardise", "rescale"]


@dataclass(frozen=True, eq=False)
class PreprocessingStep:
    """One operation on the columns, with its constants.

    Attributes
    ----------
    operation
        `fill`: a missing value becomes `first`. `standardise`: (x - first) / second. `rescale`: x * first + second.
    first, second
        Constants, float64 (f,).
    """

    operation: Operation
    first: Floats
    second: Floats

    def __call__(self, X: Floats) -> Floats:
        """Return the rows, (n, f), after this step."""
        match self.operation:
            case "fill":
                return np.where(np.isnan(X), self.first, X)
            case "standardise":
                return (X - self.first) / self.second
            case "rescale":
                return X * self.first + self.second


@dataclass(frozen=True, eq=False)
class Preprocessing:
    """The preprocessing steps of one member.

    Attributes
    ----------
    steps
        The steps, in order.
    accepts_missing
        True if the member predicts rows with missing values.
    """

    steps: tuple[PreprocessingStep, ...] = ()
    accepts_missing: bool = True

    def __call__(self, X: Floats) -> Floats:
        """Return the rows, (n, f), after all steps."""
        for step in self.steps:
            X = step(X)
        return X

    def to_arrays(self) -> dict[str, Array]:
        """Return the constants of the steps by name; `metadata` has the rest."""
        return {
            f"step_{k}_{name}": getattr(step, name) for k, step in enumerate(self.steps) for name in ("first", "second")
        }

    @property
    def metadata(self) -> dict[str, Any]:
        """Operations and settings, as JSON values."""
        return {"steps": [step.operation for step in self.steps], "takes_missing": self.accepts_missing}

    @classmethod
    def from_arrays(cls, described: Mapping[str, Any], arrays: Mapping[str, Array]) -> Preprocessing:
        """Return the preprocessing from its metadata and arrays. Raises ValidationError for an unknown operation."""
        for operation in described["steps"]:
            if operation not in ("fill", "standardise", "rescale"):
                raise ValidationError(f"unknown step {operation!r}: use the version that imported the model")
        return cls(
            tuple(
                PreprocessingStep(
                    operation, np.asarray(arrays[f"step_{k}_first"]), np.asarray(arrays[f"step_{k}_second"])
                )
                for k, operation in enumerate(described["steps"])
            ),
            bool(described["takes_missing"]),
        )


@dataclass(frozen=True, eq=False)
class PreprocessedMember:
    """A member with its preprocessing."""

    member: ReplicatedMember
    preprocessing: Preprocessing

    @property
    def n_replicas(self) -> int:
        """Number of refits."""
        return self.member.n_replicas

    def predict_replicas(self, X: Floats, start: int = 0, stop: int | None = None) -> Floats:
        """Return the member's predictions for the preprocessed rows; arguments as in `ReplicatedMember`.

        Raises ValidationError if values are missing and the member does not accept that.
        """
        if not self.preprocessing.accepts_missing and np.isnan(X).any():
            columns = np.flatnonzero(np.isnan(X).any(axis=0)).tolist()
            raise ValidationError(f"values are missing in columns {columns}, and the imported model accepts none")
        return self.member.predict_replicas(self.preprocessing(X), start, stop)
