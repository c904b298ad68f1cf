"""The bins of each feature, and the encoding of rows as bins. All trees of all replicas share one table.

XGBoost learns from feature values cut into bins, and so do the random forests, from the same bins. Every threshold of a
trained tree is therefore one of the table's cuts. A row is encoded once, in one or two bytes a feature, and trees
compare codes. This loses nothing: a value is below a cut exactly if its code, the number of cuts that are at most the
value, is at most the cut's index.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.arrays import Array, Floats, read_only
from engine.errors import ValidationError
from engine.members import kernels
from engine.members.tree_kernels import ROWS_PER_WALK

if TYPE_CHECKING:
    import xgboost as xgb

    from engine.resources.xgboost_library import QuantileMatrix


@dataclass(frozen=True, eq=False)
class BinEdges:
    """The cuts between the bins of f features, ascending; feature c has `values[starts[c] : starts[c + 1]]`."""

    values: NDArray[np.float32]  # (cuts,)
    starts: NDArray[np.int64]  # (f + 1,)

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        for name in ("values", "starts"):
            object.__setattr__(self, name, read_only(getattr(self, name)))

    @classmethod
    def from_matrix(cls, matrix: xgb.QuantileDMatrix | QuantileMatrix) -> BinEdges:
        """Return the cuts that XGBoost has chosen for a matrix."""
        starts, values = matrix.get_quantile_cut()
        return cls(values.astype(np.float32), starts.astype(np.int64))

    @classmethod
    def from_thresholds(cls, columns: Array, thresholds: NDArray[np.float32], n_features: int) -> BinEdges:
        """Return the smallest table with given splits.

        Parameters
        ----------
        columns
            Feature of each split, (k,).
        thresholds
            Threshold of each split, (k,).
        n_features
            Number of features, f.
        """
        each = [np.unique(thresholds[columns == column]) for column in range(n_features)]
        starts = np.concatenate([[0], np.cumsum([len(cuts) for cuts in each])])
        return cls(np.concatenate(each).astype(np.float32), starts.astype(np.int64))

    @classmethod
    def union(cls, one: BinEdges, other: BinEdges) -> BinEdges:
        """Return the smallest table with the cuts of both. Raises ValidationError for different numbers of features."""
        if one.n_features != other.n_features:
            raise ValidationError(f"tables of {one.n_features} and {other.n_features} features cannot be joined")
        columns = np.concatenate(
            [np.repeat(np.arange(table.n_features), np.diff(table.starts)) for table in (one, other)]
        )
        return cls.from_thresholds(columns, np.concatenate([one.values, other.values]), one.n_features)

    @property
    def n_features(self) -> int:
        """Number of features, f."""
        return len(self.starts) - 1

    @cached_property
    def dtype(self) -> np.dtype[np.uint8] | np.dtype[np.uint16]:
        """Data type of a code, with one value to spare for missing features."""
        most = int(np.diff(self.starts).max(initial=0))
        return np.dtype(np.uint8) if most < np.iinfo(np.uint8).max else np.dtype(np.uint16)

    @cached_property
    def missing_code(self) -> int:
        """Code of a missing feature."""
        return int(np.iinfo(self.dtype).max)

    def encode(self, X: Floats) -> Array:
        """Return the codes of rows, (n, 2f) of `dtype`.

        A missing feature is above every cut in the first half of a row and below every cut in the second half.

        Parameters
        ----------
        X
            Rows, float64 (n, f); NaN = missing.
        """
        blocks = self.encode_blocks(X, kernels.ENCODED_ROWS)
        return np.ascontiguousarray(blocks.transpose(0, 2, 1)).reshape(-1, 2 * self.n_features)[: len(X)]

    def encode_blocks(self, X: Floats, rows: int) -> Array:
        """Return the codes of X as `encode` does, but by block and column: (blocks, 2f, rows) of `dtype`.

        Behind the last block are `tree_kernels.ROWS_PER_WALK` more codes.

        Parameters
        ----------
        X
            Rows, float64 (n, f); NaN = missing.
        rows
            Rows of a block; the last block is filled with zeros.
        """
        shape = (-(-len(X) // rows), 2 * self.n_features, rows)
        size = shape[0] * shape[1] * shape[2]
        codes = np.zeros(size + ROWS_PER_WALK, dtype=self.dtype)[:size].reshape(shape)
        kernels.encode_rows(
            np.ascontiguousarray(X, dtype=np.float64), self.values, self.starts, self.missing_code, codes
        )
        return codes

    def encode_for_training(self, X: Floats) -> Array:
        """Return the codes of rows X (n, f; NaN = missing) for growing trees, (n, f) of `dtype`, column by column."""
        return np.asfortranarray(self.encode(X)[:, : self.n_features])

    def cut_indices(self, columns: Array, thresholds: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the index of each threshold among the cuts of its feature, (k,).

        Parameters
        ----------
        columns
            Feature of each threshold, (k,).
        thresholds
            The thresholds, (k,).

        Raises
        ------
        ValidationError
            If a threshold is not one of the cuts.
        """
        found = np.empty(len(columns), dtype=np.int64)
        for column in np.unique(columns):
            cuts = self.values[self.starts[column] : self.starts[column + 1]]
            these = columns == column
            found[these] = position = np.searchsorted(cuts, thresholds[these])
            if not np.array_equal(cuts[np.minimum(position, len(cuts) - 1)], thresholds[these]):
                raise ValidationError(f"a tree splits feature {column} at a value that is no cut of its table")
        return found

    def equals(self, other: BinEdges) -> bool:
        """Return True if the cuts are the same."""
        return np.array_equal(self.starts, other.starts) and np.array_equal(self.values, other.values)

    def to_arrays(self) -> dict[str, Array]:
        """Return the arrays by name, as `from_arrays` takes them."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> BinEdges:
        """Return the table of these arrays, which may be read-only memory maps: nothing is copied."""
        return cls(**{field.name: np.asarray(arrays[field.name]) for field in fields(cls)})


def common_edges(tables: Iterable[BinEdges]) -> BinEdges:
    """Return the table that all of these are equal to. Raises ValidationError if they differ."""
    first, *rest = tables
    if not all(table is first or table.equals(first) for table in rest):
        raise ValidationError("trees to join must have been trained on the same cuts")
    return first
