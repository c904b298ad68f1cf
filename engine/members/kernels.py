"""Compiled inner loops of prediction: encoding features, walking trees, running networks.

Python compiled by numba on first use; `engine.members.tree_growth` has the loops of training. The machine code is
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

_NETWORK_ROWS = 64  # rows whose layer fits into the first-level cache
_ENCODED_ROWS = 128  # rows whose values of a column are compared together
_MAX_COUNTED_CUTS = 256  # up to here, counting (32 rows an instruction) is faster than a search row by row
ROWS_PER_WALK = 8
"""Rows that walk through a tree at the same time, so that their memory loads overlap."""
MAX_SWEPT_NODES = 127
"""Most nodes of a tree that may be swept over all rows: the position of the last node's children fits into a byte."""

_1 = np.uint64(1)


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
        Receives the codes, (>= n, 2f).
    """
    features = X.shape[1]
    values, codes = np.empty(_ENCODED_ROWS, np.float32), np.empty(_ENCODED_ROWS, out.dtype)
    for start in range(0, X.shape[0], _ENCODED_ROWS):
        rows = min(_ENCODED_ROWS, X.shape[0] - start)
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
                out[start + row, column] = missing if np.isnan(values[row]) else codes[row]
                out[start + row, features + column] = codes[row]


@inline_kernel
def _step(nodes: Array, codes: Array, row: Any, node: Any, layout: Any) -> Any:
    """Return the node that a row reaches from a node; a row stays at a leaf."""
    word = np.uint64(nodes[node])
    cut_mask, feature_shift, feature_mask, offset_shift = layout
    inner = (word & _1) - _1  # all ones, or all zeros at a leaf
    column = (word >> feature_shift) & feature_mask & inner
    right = np.uint64(np.uint64(codes[row + column]) > ((word >> _1) & cut_mask))
    return node + (((word >> offset_shift) + right) & inner)


@kernel
def _sweep(nodes: Array, root: Any, count: int, layout: tuple[Any, Any, Any, Any], columns: Array, place: Array) -> int:
    """Take all rows through the first nodes of a tree, node by node; return the number of levels that these nodes fill.

    A child follows its parent in the array, so one pass is enough. Many rows are compared in one instruction.

    Parameters
    ----------
    nodes, layout
        As in `walk_trees`.
    root
        Root of the tree.
    count
        Number of nodes to sweep.
    columns
        Codes by column, (2f, rows).
    place
        Receives the position of each row, counted from the root, uint8 (rows,).
    """
    cut_mask, feature_shift, feature_mask, offset_shift = layout
    place[:] = 0
    level, level_end, children_end = 0, 1, 0
    for node in range(count):
        if node == level_end:
            level, level_end = level + 1, children_end
        word = np.uint64(nodes[root + np.uint64(node)])
        if word & _1:
            continue
        left = np.uint64(node) + (word >> offset_shift)
        children_end = int(left) + 2
        codes = columns[(word >> feature_shift) & feature_mask]
        cut, here, there = columns.dtype.type((word >> _1) & cut_mask), np.uint8(node), np.uint8(left)
        for row in range(len(place)):
            now = place[row]
            moved = np.uint8(there + np.uint8(codes[row] > cut))
            place[row] = moved if now == here else now
    return level + 1 if count == level_end else level


@kernel
def walk_trees(
    nodes: Array,
    values: Array,
    starts: Array,
    depths: Array,
    first: Array,
    layout: tuple[Any, Any, Any, Any],
    codes: Array,
    columns: Array,
    swept: int,
    out: Array,
) -> None:
    """Add up the leaf values of each replica's trees for each row, in the order of the trees.

    Parameters
    ----------
    nodes
        Nodes of all trees, (N,); see `engine.members.flat_trees`.
    values
        The nodes read as float32, (N,), valid at leaves.
    starts
        Root of each tree, (trees,).
    depths
        Steps to the deepest leaf of each tree, (trees,).
    first
        The trees of replica b are first[b] to first[b + 1] - 1, (r + 1,).
    layout
        Masks and shifts of a node; see `engine.members.flat_trees`.
    codes
        Codes by row, (rows * 2f,); the number of rows is a multiple of ROWS_PER_WALK.
    columns
        The same codes by column, (2f, rows).
    swept
        Nodes of a tree, at most MAX_SWEPT_NODES, through which all rows are taken together before each one walks on
        its own. No number depends on it.
    out
        Receives the sums, float64 (r, rows); zeros before.
    """
    w = np.uint64(columns.shape[0])
    place = np.empty(columns.shape[1], np.uint8)
    for replica in range(out.shape[0]):
        for tree in range(first[replica], first[replica + 1]):
            root = np.uint64(starts[tree])
            end = starts[tree + 1] if tree + 1 < len(starts) else len(nodes)
            depth = depths[tree] - _sweep(nodes, root, min(swept, end - starts[tree]), layout, columns, place)
            for row in range(0, out.shape[1], 8):
                r0 = np.uint64(row) * w
                r1 = r0 + w
                r2 = r1 + w
                r3 = r2 + w
                r4 = r3 + w
                r5 = r4 + w
                r6 = r5 + w
                r7 = r6 + w
                n0 = root + np.uint64(place[row])
                n1 = root + np.uint64(place[row + 1])
                n2 = root + np.uint64(place[row + 2])
                n3 = root + np.uint64(place[row + 3])
                n4 = root + np.uint64(place[row + 4])
                n5 = root + np.uint64(place[row + 5])
                n6 = root + np.uint64(place[row + 6])
                n7 = root + np.uint64(place[row + 7])
                for _ in range(depth):
                    n0 = _step(nodes, codes, r0, n0, layout)
                    n1 = _step(nodes, codes, r1, n1, layout)
                    n2 = _step(nodes, codes, r2, n2, layout)
                    n3 = _step(nodes, codes, r3, n3, layout)
                    n4 = _step(nodes, codes, r4, n4, layout)
                    n5 = _step(nodes, codes, r5, n5, layout)
                    n6 = _step(nodes, codes, r6, n6, layout)
                    n7 = _step(nodes, codes, r7, n7, layout)
                out[replica, row] += values[n0]
                out[replica, row + 1] += values[n1]
                out[replica, row + 2] += values[n2]
                out[replica, row + 3] += values[n3]
                out[replica, row + 4] += values[n4]
                out[replica, row + 5] += values[n5]
                out[replica, row + 6] += values[n6]
                out[replica, row + 7] += values[n7]


@kernel
def _layer(signal: Array, weights: Array, bias: Array, out: Array, rows: int) -> None:
    """Compute one layer of a network, two rows and four inputs at a time, so that memory loads are shared."""
    for row in range(0, rows, 2):
        a, b = signal[row], signal[row + 1]
        x, y = out[row], out[row + 1]
        for unit in range(len(bias)):
            x[unit] = bias[unit]
            y[unit] = bias[unit]
        source = 0
        while source + 4 <= weights.shape[0]:
            a0, a1, a2, a3 = a[source], a[source + 1], a[source + 2], a[source + 3]
            b0, b1, b2, b3 = b[source], b[source + 1], b[source + 2], b[source + 3]
            w0, w1, w2, w3 = weights[source], weights[source + 1], weights[source + 2], weights[source + 3]
            for unit in range(len(bias)):
                x[unit] = (((x[unit] + a0 * w0[unit]) + a1 * w1[unit]) + a2 * w2[unit]) + a3 * w3[unit]
                y[unit] = (((y[unit] + b0 * w0[unit]) + b1 * w1[unit]) + b2 * w2[unit]) + b3 * w3[unit]
            source += 4
        while source < weights.shape[0]:
            a0, b0, w0 = a[source], b[source], weights[source]
            for unit in range(len(bias)):
                x[unit] += a0 * w0[unit]
                y[unit] += b0 * w0[unit]
            source += 1


@kernel
def run_networks(X: Array, medians: Array, means: Array, scales: Array, layers: Any, out: Array) -> None:
    """Compute the logit of each network for each row.

    Parameters
    ----------
    X
        Rows, float64 (n, f); NaN = missing.
    medians, means, scales
        Imputed values, and means and scales of the standardisation, (B, f).
    layers
        Pairs of weights (B, inputs, outputs) and biases (B, 1, outputs), with ReLU between them.
    out
        Receives the logits, (B, n).
    """
    rows_together = max(2, min(_NETWORK_ROWS, X.shape[0] + X.shape[0] % 2))
    widest = X.shape[1]
    for depth in range(len(layers)):
        widest = max(widest, layers[depth][0].shape[2])
    signal, result = np.zeros((rows_together, widest)), np.zeros((rows_together, widest))
    for network in range(out.shape[0]):
        for start in range(0, X.shape[0], rows_together):
            rows = min(rows_together, X.shape[0] - start)
            for row in range(rows):
                for column in range(X.shape[1]):
                    raw = X[start + row, column]
                    known = medians[network, column] if np.isnan(raw) else raw
                    signal[row, column] = (known - means[network, column]) / scales[network, column]
            for depth in range(len(layers)):
                weights, biases = layers[depth]
                _layer(signal, weights[network], biases[network, 0], result, rows)
                if depth + 1 < len(layers):
                    for row in range(rows):
                        for unit in range(weights.shape[2]):
                            result[row, unit] = max(result[row, unit], 0.0)
                signal, result = result, signal
            for row in range(rows):
                out[network, start + row] = signal[row, 0]
