"""The compiled inner loops: coding features, walking trees, growing trees, running networks.

Plain Python compiled by numba on first use, once a machine: the machine code is kept beside this file, or in the user's
cache folder where that cannot be written, or not at all. No loop is parallel inside and none holds the interpreter
lock, so callers use threads as they like; every sum has one order, so no number depends on batches or threads.

Arguments are not checked here. Indices are unsigned because numba makes signed ones ask whether they are negative.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
P = ParamSpec("P")
R = TypeVar("R")

_NETWORK_ROWS = 64  # a layer of so many rows stays in the first-level cache
ROWS_TOGETHER = 8
"""Rows that one tree is walked with at once: their loads wait for each other's, and not one after the other."""

_1 = np.uint64(1)
_CONSTANT, _UNSPLIT = -2.0, -1.0


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile on the first call; keep the machine code if there is anywhere to keep it."""
    try:
        compiled: Callable[P, R] = numba.njit(nogil=True, cache=True, error_model="numpy")(function)
    except RuntimeError:  # a read-only installation without a home: compiled anew in each process
        compiled = numba.njit(nogil=True, error_model="numpy")(function)
    return compiled


def _inlined(function: Callable[P, R]) -> Callable[P, R]:
    inlined: Callable[P, R] = numba.njit(nogil=True, inline="always", error_model="numpy")(function)
    return inlined


@kernel
def code_rows(X: Array, cuts: Array, starts: Array, missing: int, out: Array) -> None:
    """Code rows X, float64 (n, f): out (>= n, 2f) gets how many of a column's cuts are at most its value.

    cuts, starts: those of column c are cuts[starts[c] : starts[c + 1]], ascending float32; values are compared as
    float32. A missing value becomes `missing`, above every code, in the first half of a row and 0 in the second.
    """
    features = X.shape[1]
    for row in range(X.shape[0]):
        for column in range(features):
            value = np.float32(X[row, column])
            if np.isnan(value):
                out[row, column] = missing
                out[row, features + column] = 0
                continue
            low, high = starts[column], starts[column + 1]
            while low < high:
                middle = (low + high) >> 1
                if cuts[middle] <= value:
                    low = middle + 1
                else:
                    high = middle
            out[row, column] = low - starts[column]
            out[row, features + column] = low - starts[column]


@_inlined
def _step(nodes: Array, codes: Array, row: Any, node: Any, layout: Any) -> Any:
    """Where a row goes from a node; a leaf keeps it."""
    word = np.uint64(nodes[node])
    cut_mask, feature_shift, feature_mask, offset_shift = layout
    inner = (word & _1) - _1  # all ones, or all zeros at a leaf
    column = (word >> feature_shift) & feature_mask & inner
    right = np.uint64(np.uint64(codes[row + column]) > ((word >> _1) & cut_mask))
    return node + (((word >> offset_shift) + right) & inner)


@kernel
def walk_trees(
    nodes: Array,
    values: Array,
    starts: Array,
    depths: Array,
    first: Array,
    layout: tuple[Any, Any, Any, Any],
    codes: Array,
    width: int,
    out: Array,
) -> None:
    """Add up, for each replica and row, the leaf values of the replica's trees, in their order.

    nodes (N,), values float32 (N,) read at leaves, layout: see `engine.trees`. starts (trees,): root of each tree.
    depths (trees,): steps to its deepest leaf. first (r + 1,): the trees of replica b are first[b] to first[b + 1] - 1.
    codes (rows * width,): coded rows, their number a multiple of ROWS_TOGETHER. out: float64 (r, rows), zeros before.
    """
    w = np.uint64(width)
    for replica in range(out.shape[0]):
        for tree in range(first[replica], first[replica + 1]):
            root = np.uint64(starts[tree])
            depth = depths[tree]
            for row in range(0, out.shape[1], 8):
                r0 = np.uint64(row) * w
                r1 = r0 + w
                r2 = r1 + w
                r3 = r2 + w
                r4 = r3 + w
                r5 = r4 + w
                r6 = r5 + w
                r7 = r6 + w
                n0 = n1 = n2 = n3 = n4 = n5 = n6 = n7 = root
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


@_inlined
def _draw(state: Any, below: Any) -> Any:
    """The next state of splitmix64 (Steele, Lea, Flood 2014) and a number from 0 to below - 1."""
    state = state + np.uint64(0x9E3779B97F4A7C15)
    z = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return state, np.int64(((z >> np.uint64(32)) * np.uint64(below)) >> np.uint64(32))


@_inlined
def _purity(weight: Any, wins: Any) -> Any:
    """What a side adds to the Gini criterion that the best split maximises."""
    losses = weight - wins
    return (wins * wins + losses * losses) / weight


@kernel
def _best_cut(
    codes: Array,
    rows: Array,
    weight: Array,
    wins: Array,
    column: int,
    missing: int,
    min_rows: int,
    counts: Array,
    won: Array,
) -> tuple[float, int, bool]:
    """The best split of some rows by one feature: purity, cut, and whether missing ones go left.

    Purity is _UNSPLIT where no split leaves enough rows on both sides, _CONSTANT where all rows are the same.

    counts: int64 (2, missing + 1), weight and rows of each code. won: float64 (missing + 1,), its wins. Both are zeros
    before and after.
    """
    for row in rows:
        code = codes[row, column]
        counts[0, code] += weight[row]
        counts[1, code] += 1
        won[code] += wins[row]
    total_w = total_n = 0
    total_y = 0.0
    for code in range(missing + 1):
        total_w += counts[0, code]
        total_n += counts[1, code]
        total_y += won[code]
    lost_w, lost_n, lost_y = counts[0, missing], counts[1, missing], won[missing]
    best, best_cut, best_left = _CONSTANT, 0, False
    w = n = 0
    y = 0.0
    last = -1
    for code in range(missing):
        if not counts[1, code]:
            continue
        # Between this code and the last one that occurs: in the middle, for a code between them may come later.
        if last >= 0:
            best = max(best, _UNSPLIT)
            for side in range(2 if lost_n else 1):
                left_w, left_y, left_n = w + side * lost_w, y + side * lost_y, n + side * lost_n
                if min_rows <= left_n <= total_n - min_rows:
                    purity = _purity(float(left_w), left_y)
                    purity += _purity(float(total_w - left_w), total_y - left_y)
                    if purity > best:
                        best, best_cut = purity, (last + code) >> 1
                        best_left = side == 1 if lost_n else 2 * left_n > total_n
        w += counts[0, code]
        n += counts[1, code]
        y += won[code]
        last = code
    if lost_n and last >= 0:
        best = max(best, _UNSPLIT)
    if lost_n and min_rows <= n <= total_n - min_rows:  # known here, missing there
        purity = _purity(float(w), y) + _purity(float(lost_w), lost_y)
        if purity > best:
            best, best_cut, best_left = purity, missing - 1, False
    counts[:] = 0
    won[:] = 0.0
    return best, best_cut, best_left


@kernel
def grow_tree(
    codes: Array,
    won: Array,
    weight: Array,
    missing: int,
    limits: tuple[int, int, int],
    seed: Any,
    out: tuple[Array, Array, Array, Array, Array],
) -> tuple[int, int]:
    """Grow one tree of a random forest (Breiman 2001) on coded rows; return its nodes and its depth.

    codes (n, f), `missing` where missing. won: (n,) in [0, 1]. weight: int64 (n,). limits: most depth, fewest rows of a
    leaf, features to try at a node. The tree sees as many rows as have weight, drawn with replacement; a row drawn
    twice is one row of twice the weight. out: column, cut, missing_left, left, value of the nodes, level by level.
    """
    max_depth, min_rows, tries = limits
    column, cut, missing_left, left, value = out
    used = np.flatnonzero(weight)
    drawn = np.zeros(len(weight), np.int64)
    state = np.uint64(seed)
    for _ in range(len(used)):
        state, pick = _draw(state, len(used))
        drawn[used[pick]] += weight[used[pick]]
    wins = drawn * won
    rows = np.flatnonzero(drawn)
    beyond = np.empty_like(rows)
    counts, won_by_code = np.zeros((2, missing + 1), np.int64), np.zeros(missing + 1)
    features = np.arange(codes.shape[1])
    begin, end = np.empty(len(left), np.int64), np.empty(len(left), np.int64)
    begin[0], end[0] = 0, len(rows)
    nodes, depth, level_end, node = 1, 0, 1, 0
    while node < nodes:
        if node == level_end:
            depth, level_end = depth + 1, nodes
        mine = rows[begin[node] : end[node]]
        w, y = 0, 0.0
        for row in mine:
            w += drawn[row]
            y += wins[row]
        value[node], left[node], column[node], cut[node], missing_left[node] = y / w, node, 0, 0, False
        if depth < max_depth and len(mine) >= 2 * min_rows and 0 < y < w:
            best, tried = _CONSTANT, 0
            while tried < len(features) and (tried < tries or best == _CONSTANT):
                state, pick = _draw(state, len(features) - tried)
                pick += tried
                features[tried], features[pick] = features[pick], features[tried]
                purity, at, goes_left = _best_cut(
                    codes, mine, drawn, wins, features[tried], missing, min_rows, counts, won_by_code
                )
                if purity > best:
                    best = purity
                    column[node], cut[node], missing_left[node] = features[tried], at, goes_left
                tried += 1
            if best >= 0:
                kept = moved = 0
                for row in mine:
                    code = codes[row, column[node]]
                    if missing_left[node] if code == missing else code <= cut[node]:
                        mine[kept] = row
                        kept += 1
                    else:
                        beyond[moved] = row
                        moved += 1
                mine[kept:] = beyond[:moved]
                left[node] = nodes
                begin[nodes], end[nodes] = begin[node], begin[node] + kept
                begin[nodes + 1], end[nodes + 1] = begin[node] + kept, end[node]
                nodes += 2
        node += 1
    return nodes, depth


@kernel
def _layer(signal: Array, weights: Array, bias: Array, out: Array, rows: int) -> None:
    """One layer of a network for some rows: two rows and four inputs at a time, so that loads are shared."""
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
    """The logit of each network for rows X, float64 (n, f; NaN = missing): out (B, n).

    medians, means, scales (B, f): impute, then standardise. layers: pairs of weights (B, inputs, outputs) and biases
    (B, 1, outputs), ReLU between them.
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
