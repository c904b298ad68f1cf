"""A training matrix as flat arrays, so that several processes can use the same matrix."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd

from engine.arrays import Array
from engine.data.feature_matrix import TrainingMatrix
from engine.errors import BundleCorruptError
from engine.resources.chunked_arrays import NamedArrays

_PREFIX = "matrix/"


def matrix_to_arrays(matrix: TrainingMatrix) -> dict[str, Array]:
    """Return the matrix as arrays named `matrix/...`, without the names of its columns."""
    arrays = {field.name: np.asarray(getattr(matrix, field.name)) for field in fields(matrix)}
    return {f"{_PREFIX}{name}": array for name, array in arrays.items()}


def matrix_from_arrays(arrays: NamedArrays, columns: list[str]) -> TrainingMatrix:
    """Return the matrix from the arrays of `matrix_to_arrays`. Raises BundleCorruptError if one does not fit."""
    try:
        values: dict[str, Any] = {
            field.name: np.asarray(arrays[f"{_PREFIX}{field.name}"]) for field in fields(TrainingMatrix)
        }
        values["X"] = pd.DataFrame(values["X"], columns=columns)
        return TrainingMatrix(**values)
    except (KeyError, ValueError) as error:
        raise BundleCorruptError(f"these arrays are no training matrix of this version: {error!r}") from error
