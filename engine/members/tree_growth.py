"""Compiled inner loops of growing a random forest's trees; see `engine.members.kernels`."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.arrays import Array
from engine.compilation import inline_kernel, kernel

_CONSTANT, _UNSPLIT = -2.0, -1.0
_ONE_WEIGHT = 1 << 32  # a tally is a weight times this plus a number of rows: one sum adds up both


@inline_kernel
def _draw(state: Any, below: Any) -> Any:
    """Return the next state of splitmix64 (Steele, Lea, Flood 2014) and a number from 0 to below - 1."""
    state = state + np.uint64(0x9E3779B97F4A7C15)
    z = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return state, np.int64(((z >> np.uint64(32)) * np.uint64(below)) >> np.uint64(32))


@inline_kernel
def _purity(weight: Any, wins: Any) -> Any:
    """Return one side's term of the Gini criterion, which the best split maximises."""
    losses = weight - wins
    return (wins * wins + losses * losses) / weight


@inline_kernel
def _weight_and_rows(tally: Any) -> Any:
    """Return the two numbers of a tally."""
    return tally >> 32, tally & 0xFFFFFFFF


@kernel
def _best_cut(
    codes: Array,
    rows: Array,
    tally: Array,
    wins: Array,
    cuts: int,
    missing: int,
    min_rows: int,
    counts: Array,
    won: Array,
) -> tuple[float, int, bool]:
    """Return the best split of some rows by one feature: purity, cut, and whether missing values go left.

    Purity is _UNSPLIT if no split leaves enough rows on both sides, _CONSTANT if all rows have the same code.

    Parameters
    ----------
    codes
        Codes of the feature, (n,).
    rows
        Indices of the node's rows.
    tally, wins
        Tally and weighted result of each of these rows.
    cuts, missing
        The number of the feature's cuts, which is its greatest code except that of a missing value, and the latter.
    min_rows
        Fewest rows of a side.
    counts
        Work space, int64 (missing + 1,), for the tally of each code; zeros before and after.
    won
        Work space, float64 (missing + 1,), for the wins of each code; zeros before and after.
    """
    for place in range(len(rows)):
        code = codes[rows[place]]
        counts[code] += tally[place]
        won[code] += wins[place]
    total, total_y = 0, 0.0
    for code in range(cuts + 1):
        total += counts[code]
        total_y += won[code]
    total += counts[missing]
    total_y += won[missing]
    total_w, total_n = _weight_and_rows(total)
    lost_w, lost_n = _weight_and_rows(counts[missing])
    lost_y = won[missing]
    best, best_cut, best_left = _CONSTANT, 0, False
    w = n = 0
    y = 0.0
    last = -1
    for code in range(cuts + 1):
        if not counts[code]:
            continue
        # Split halfway between this code and the last one that occurs: new rows may have codes between them.
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
        code_w, code_n = _weight_and_rows(counts[code])
        w += code_w
        n += code_n
        y += won[code]
        last = code
    if lost_n and last >= 0:
        best = max(best, _UNSPLIT)
    if lost_n and min_rows <= n <= total_n - min_rows:  # known values left, missing ones right
        purity = _purity(float(w), y) + _purity(float(lost_w), lost_y)
        if purity > best:
            best, best_cut, best_left = purity, missing - 1, False
    counts[: cuts + 1], won[: cuts + 1] = 0, 0.0
    counts[missing], won[missing] = 0, 0.0
    return best, best_cut, best_left


@kernel
def grow_tree(
    codes: Array,
    won: Array,
    weight: Array,
    cuts: Array,
    missing: int,
    limits: tuple[int, int, int],
    seed: Any,
    out: tuple[Array, Array, Array, Array, Array],
) -> tuple[int, int]:
    """Grow one tree of a random forest (Breiman 2001) on encoded rows; return its number of nodes and its depth.

    The tree is grown on a bootstrap sample, as many rows as have a positive weight, drawn with replacement. A row drawn
    twice is one row of twice the weight.

    Parameters
    ----------
    codes
        Encoded rows, (n, f).
    won
        Results in [0, 1], (n,).
    weight
        Weight of each row, int64 (n,).
    cuts
        Number of cuts of each feature, (f,).
    missing
        Code of a missing value.
    limits
        Greatest depth, fewest rows of a leaf, features to try at a node.
    seed
        Seed of the tree.
    out
        Receive column, cut, missing_left, left and value of the nodes, level by level.
    """
    max_depth, min_rows, tries = limits
    column, cut, missing_left, left, value = out
    columns, used = codes.T, np.flatnonzero(weight)
    drawn = np.zeros(len(weight), np.int64)
    state = np.uint64(seed)
    for _ in range(len(used)):
        state, pick = _draw(state, len(used))
        drawn[used[pick]] += weight[used[pick]]
    # What is known of each row moves with it, so that the rows of a node are read one after the other.
    rows = np.flatnonzero(drawn).astype(np.uint32)
    tally, wins = drawn[rows] * _ONE_WEIGHT + 1, drawn[rows] * won[rows]
    right_rows, right_tally, right_wins = np.empty_like(rows), np.empty_like(tally), np.empty_like(wins)
    counts, won_by_code = np.zeros(missing + 1, np.int64), np.zeros(missing + 1)
    features = np.arange(len(columns))
    begin, end = np.empty(len(left), np.int64), np.empty(len(left), np.int64)
    begin[0], end[0] = 0, len(rows)
    nodes, depth, level_end, node = 1, 0, 1, 0
    while node < nodes:
        if node == level_end:
            depth, level_end = depth + 1, nodes
        here = slice(begin[node], end[node])
        node_rows, node_tally, node_wins = rows[here], tally[here], wins[here]
        total, y = 0, 0.0
        for place in range(len(node_rows)):
            total += node_tally[place]
            y += node_wins[place]
        w, _ = _weight_and_rows(total)
        value[node], left[node], column[node], cut[node], missing_left[node] = y / w, node, 0, 0, False
        if depth < max_depth and len(node_rows) >= 2 * min_rows and 0 < y < w:
            best, tried = _CONSTANT, 0
            while tried < len(features) and (tried < tries or best == _CONSTANT):
                state, pick = _draw(state, len(features) - tried)
                pick += tried
                features[tried], features[pick] = features[pick], features[tried]
                purity, at, goes_left = _best_cut(
                    columns[features[tried]],
                    node_rows,
                    node_tally,
                    node_wins,
                    cuts[features[tried]],
                    missing,
                    min_rows,
                    counts,
                    won_by_code,
                )
                if purity > best:
                    best = purity
                    column[node], cut[node], missing_left[node] = features[tried], at, goes_left
                tried += 1
            if best >= 0:
                kept, moved = np.int64(0), np.int64(0)
                node_codes, node_cut, node_missing_left = columns[column[node]], cut[node], missing_left[node]
                for place in range(len(node_rows)):  # without a branch that a processor could mispredict
                    row, one, win = node_rows[place], node_tally[place], node_wins[place]
                    code = node_codes[row]
                    goes = np.int64((code <= node_cut) | ((code == missing) & node_missing_left))
                    node_rows[kept], node_tally[kept], node_wins[kept] = row, one, win
                    right_rows[moved], right_tally[moved], right_wins[moved] = row, one, win
                    kept += goes
                    moved += 1 - goes
                node_rows[kept:] = right_rows[:moved]
                node_tally[kept:] = right_tally[:moved]
                node_wins[kept:] = right_wins[:moved]
                left[node] = nodes
                begin[nodes], end[nodes] = begin[node], begin[node] + kept
                begin[nodes + 1], end[nodes + 1] = begin[node] + kept, end[node]
                nodes += 2
        node += 1
    return nodes, depth
