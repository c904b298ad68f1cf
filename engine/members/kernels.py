"""Compiled inner loop of encoding features, and the conventions of all compiled loops of prediction.

Python compiled by numba on first use. `engine.members.tree_kernels` and `network_kernels` have the loops of
prediction, `engine.members.tree_growth` those of training. The machine code is
cached next to this file, or in the user's cache folder if the file's folder is read-only, or not at all. No loop is
parallel inside and none holds the interpreter lock, so callers may use threads. Every sum has one order, so no number
depends on batches or threads.

Arguments are not checked here. Indices are unsigned because numba checks signed ones for negative values.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.arrays import Array
from engine.compilation import inline_kernel, kernel

ENCODED_ROWS = 128
"""Rows whose values of a column are compared together."""
_MAX_COUNTED_CUTS = 256  # up to here, counting (32 rows an instruction) is faster than a search row by row


@inline_kernel
def _search(cuts: Array, value: Any) -> Any:
    """Return the number of ascending cuts that are at most a value; 0 if it is missing."""
    low, high = 0, len(cuts)
    while low < high:
        middle = (low + high) >> 1
        if cuts[middle] <= value:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def encode_rows(X: Array, cuts: Array, starts: Array, missing: int, out: Array) -> None:
    """Encode rows as codes: the number of a column's cuts that are at most the value.

    Values are compared as float32. A missing value becomes `missing` in the first half of a row, which is above every
    code, and 0 in the second half.

    Parameters
    ----------
    X
        Rows, float64 (n, f); NaN = missing.
    cuts, starts
        The cuts of column c are cuts[starts[c] : starts[c + 1]], ascending float32.
    missing
        Code of a missing value.
    out
        Receives the codes by block of rows and column, (blocks, 2f, rows of a block).
    """
    features, block_rows = X.shape[1], out.shape[2]
    values, codes = np.empty(block_rows, np.float32), np.empty(block_rows, out.dtype)
    for block in range(out.shape[0]):
        start = block * block_rows
        rows = min(block_rows, X.shape[0] - start)
        for column in range(features):
            for row in range(rows):
                values[row] = X[start + row, column]
            column_cuts = cuts[starts[column] : starts[column + 1]]
            if len(column_cuts) <= _MAX_COUNTED_CUTS:
                codes[:] = 0
                for cut in column_cuts:
                    for row in range(rows):
                        codes[row] += cut <= values[row]
            else:
                for row in range(rows):
                    codes[row] = _search(column_cuts, values[row])
            for row in range(rows):
                out[block, column, row] = missing if np.isnan(values[row]) else codes[row]
                out[block, features + column, row] = codes[row]
