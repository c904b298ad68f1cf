"""Where a model may split each feature. One table serves all trees of all replicas.

XGBoost learns from feature values cut into bins, and so do our forests, from the same bins; every threshold of a
trained tree is then one of the table's cuts. A row is coded once, one or two bytes a feature, and trees compare codes.
That loses nothing: a value is below a cut exactly when its code, the number of cuts at most the value, is at most the
cut's position.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from engine.arrays import Array, Floats
from engine.errors import ValidationError
from engine.members import kernels


@dataclass(frozen=True, eq=False)
class CutTable:
    """The cuts of f features, ascending: those of feature c are `values[starts[c] : starts[c + 1]]`."""

    values: NDArray[np.float32]  # (cuts,)
    starts: NDArray[np.int64]  # (f + 1,)

    @classmethod
    def of_matrix(cls, matrix: xgb.QuantileDMatrix) -> CutTable:
        """The bins that XGBoost has cut a matrix into."""
        starts, values = matrix.get_quantile_cut()
        return cls(values.astype(np.float32), starts.astype(np.int64))

    @classmethod
    def of_thresholds(cls, columns: Array, thresholds: NDArray[np.float32], n_features: int) -> CutTable:
        """The smallest table with all of these splits: `thresholds[k]` of feature `columns[k]`."""
        each = [np.unique(thresholds[columns == column]) for column in range(n_features)]
        starts = np.concatenate([[0], np.cumsum([len(cuts) for cuts in each])])
        return cls(np.concatenate(each).astype(np.float32), starts.astype(np.int64))

    @classmethod
    def union(cls, one: CutTable, other: CutTable) -> CutTable:
        """The smallest table with the cuts of both. Raises ValidationError where they have other features."""
        if one.n_features != other.n_features:
            raise ValidationError(f"tables of {one.n_features} and {other.n_features} features cannot be joined")
        columns = np.concatenate(
            [np.repeat(np.arange(table.n_features), np.diff(table.starts)) for table in (one, other)]
        )
        return cls.of_thresholds(columns, np.concatenate([one.values, other.values]), one.n_features)

    @property
    def n_features(self) -> int:
        """Number of features, f."""
        return len(self.starts) - 1

    @cached_property
    def dtype(self) -> np.dtype[np.uint8] | np.dtype[np.uint16]:
        """What a code fits in, with one value to spare for missing features."""
        most = int(np.diff(self.starts).max(initial=0))
        return np.dtype(np.uint8) if most < np.iinfo(np.uint8).max else np.dtype(np.uint16)

    @cached_property
    def missing(self) -> int:
        """The code of a missing feature."""
        return int(np.iinfo(self.dtype).max)

    def code(self, X: Floats) -> Array:
        """Return X (n, f; NaN = missing) coded, (m, 2f) of `dtype`, m >= n a multiple of `kernels.ROWS_TOGETHER`.

        A missing feature is above every cut in the first half of a row and below in the second.
        """
        rows = -(-len(X) // kernels.ROWS_TOGETHER) * kernels.ROWS_TOGETHER
        codes = np.zeros((rows, 2 * self.n_features), dtype=self.dtype)
        kernels.code_rows(np.ascontiguousarray(X, dtype=np.float64), self.values, self.starts, self.missing, codes)
        return codes

    def training_codes(self, X: Floats) -> Array:
        """Return X (n, f; NaN = missing) coded for growing trees, (n, f) of `dtype`."""
        return np.ascontiguousarray(self.code(X)[: len(X), : self.n_features])

    def positions(self, columns: Array, thresholds: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return where each threshold, of the feature beside it, stands among the feature's cuts, (k,).

        Raises ValidationError when one is no cut.
        """
        found = np.empty(len(columns), dtype=np.int64)
        for column in np.unique(columns):
            cuts = self.values[self.starts[column] : self.starts[column + 1]]
            these = columns == column
            found[these] = position = np.searchsorted(cuts, thresholds[these])
            if not np.array_equal(cuts[np.minimum(position, len(cuts) - 1)], thresholds[these]):
                raise ValidationError(f"a tree splits feature {column} at a value that is no cut of its table")
        return found

    def equals(self, other: CutTable) -> bool:
        """Whether the cuts are the same."""
        return np.array_equal(self.starts, other.starts) and np.array_equal(self.values, other.values)

    def to_arrays(self) -> dict[str, Array]:
        """The arrays by name, as `from_arrays` takes them."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> CutTable:
        """The table in these arrays, which may be read-only memory maps: nothing is copied."""
        return cls(**{field.name: np.asarray(arrays[field.name]) for field in fields(cls)})


def same_cuts(tables: Iterable[CutTable]) -> CutTable:
    """The one table that all of these are. Raises ValidationError when they differ."""
    first, *rest = tables
    if not all(table is first or table.equals(first) for table in rest):
        raise ValidationError("trees to join must have been trained on the same cuts")
    return first
