"""Compiled inner loops of contributions: the predictions for all coalitions of feature groups.

A coalition is a set of k groups, written as a number: bit g is set if group g is inside. The features of groups inside
have the row's values, all others the values of a neutral row. The same conventions as in `engine.members.kernels`: no
argument is checked, every sum has one order, and no number depends on batches or threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.arrays import Array
from engine.compilation import kernel
from engine.vectors import (
    add,
    add_product,
    disjoint_lanes,
    fill_like,
    load,
    load_like,
    lowest_lane,
    rectified,
    split_groups,
    store,
)

_0, _1 = np.uint64(0), np.uint64(1)
CARD_ROWS = 32
"""Rows that are walked through a tree together: a card of 16 fights from both sides."""
_MAX_NODES = 257  # that wait for a visit: one a level, and depths are bytes
_NOWHERE = np.uint16(0xFFFF)  # groups inside and outside of a row that does not reach a node
_LOW_GROUPS = 6  # number of groups whose coalitions are computed together, in the first-level cache
_LANES = 32  # coalitions in a vector


@kernel
def add_tree_dividends(
    nodes: Array,
    values: Array,
    roots: Array,
    layout: tuple[Any, Any, Any, Any],
    bits: Array,
    signs: Array,
    codes: Array,
    neutral: Array,
    out: Array,
) -> None:
    """Add the dividends of trees: the sum over all subsets of a coalition is the trees' sum for that coalition.

    Each tree is walked once for all rows and their neutral rows together. A row and its neutral row take the same way,
    or the row goes both ways: with the node's group inside, and with it outside. One way leads to a node, so a row has
    one set of groups inside and one outside there; a group in both means that the row does not reach it. A leaf of
    value v that is reached with the groups I inside and O outside counts in the coalitions that contain I and nothing
    of O; that is a dividend of (-1)^|T| v for I + T, for every subset T of O.

    Parameters
    ----------
    nodes, values, layout
        As in `engine.members.kernels.walk_trees`.
    roots
        Root of each tree.
    bits
        Bit of the group of each column of codes, uint64 (2f,).
    signs
        (-1)^|T| of every coalition, float64 (2^k,).
    codes, neutral
        Codes of the rows and of their neutral rows, (blocks, 2f, CARD_ROWS).
    out
        Receives the dividends, float64 (n, 2^k) with k up to 16; zeros before.

    References
    ----------
    Harsanyi (1963), "A simplified bargaining model for the n-person cooperative game" (dividends).
    Lundberg et al. (2020), "From local explanations to global understanding with explainable AI for trees".
    Laberge and Pequignot (2022), "Understanding interventional TreeSHAP: how and why it works" (groups of features).
    """
    cut_mask, feature_shift, feature_mask, offset_shift = layout
    size, columns = np.uint64(CARD_ROWS), np.uint64(codes.shape[1])
    # The nodes to visit, and the groups inside and outside of each row at each of them.
    stack = np.empty(_MAX_NODES, np.uint64)
    inside, outside = np.empty(_MAX_NODES * CARD_ROWS, np.uint16), np.empty(_MAX_NODES * CARD_ROWS, np.uint16)
    for block in range(np.uint64(codes.shape[0])):
        first = block * size
        for root in roots:
            stack[0], top = root, _1
            inside[:CARD_ROWS], outside[:CARD_ROWS] = 0, 0
            for row in range(len(out) - np.int64(first), CARD_ROWS):
                inside[row] = outside[row] = _NOWHERE
            while top:
                top -= _1
                node, at = stack[top], top * size
                word, within, without = (
                    np.uint64(nodes[node]),
                    load(inside, at, CARD_ROWS),
                    load(outside, at, CARD_ROWS),
                )
                if word & _1:
                    rows, value = disjoint_lanes(within, without), np.float64(values[node])
                    while rows:
                        row = lowest_lane(rows)
                        rows &= rows - _1
                        sums = out[first + row]
                        members, others = np.uint64(inside[at + row]), np.uint64(outside[at + row])
                        subset = others
                        while subset:
                            sums[members | subset] += signs[subset] * value
                            subset = (subset - _1) & others
                        sums[members] += value
                    continue
                column, cut = (word >> feature_shift) & feature_mask, (word >> _1) & cut_mask
                place = (block * columns + column) * size
                right_inside, right_outside, left_inside, left_outside = split_groups(
                    within, without, load(codes, place, CARD_ROWS), load(neutral, place, CARD_ROWS), cut, bits[column]
                )
                left = node + (word >> offset_shift)
                if disjoint_lanes(right_inside, right_outside):
                    store(inside, at, right_inside)
                    store(outside, at, right_outside)
                    stack[top] = left + _1
                    top += _1
                if disjoint_lanes(left_inside, left_outside):
                    store(inside, top * size, left_inside)
                    store(outside, top * size, left_outside)
                    stack[top] = left
                    top += _1


@kernel
def sum_dividends(out: Array) -> None:
    """Replace the dividends of each row, float64 (n, 2^k), by their sum over all subsets of each coalition."""
    for row in range(out.shape[0]):
        sums = out[row]
        half = 1
        while half < len(sums):
            for start in range(half, len(sums), 2 * half):
                for coalition in range(start, start + half):
                    sums[coalition] += sums[coalition - half]
            half *= 2


@kernel
def run_network_coalitions(
    X: Array, neutral: Array, medians: Array, means: Array, scales: Array, groups: Array, layers: Any, out: Array
) -> None:
    """Compute the logit of each network for every coalition of each row.

    The first layer is linear, so a group changes its output by one vector. A hidden unit of it that is active in every
    coalition is linear, too, so what it gives to the second layer also changes by one vector a group; a unit that is
    never active gives nothing. Only the rest (typically a quarter) is computed for each coalition.

    Parameters
    ----------
    X, neutral
        Rows and their neutral rows, float64 (n, f); NaN = missing.
    medians, means, scales, layers
        As in `engine.members.kernels.run_networks`; two layers or more.
    groups
        Group of each column, int64 (f,), -1 without a group.
    out
        Receives the logits, (B, n, 2^k).
    """
    k = 0
    while 1 << k < out.shape[2]:
        k += 1
    low = min(k, _LOW_GROUPS)
    width = 1 << low
    units, outputs = layers[0][0].shape[2], layers[1][0].shape[2]
    widest = units
    for depth in range(1, len(layers)):
        widest = max(widest, layers[depth][0].shape[2])
    # The change by each group and, at k, the value of the neutral row: of hidden units, and of what follows linearly.
    hidden, linear = np.empty((k + 1, units)), np.empty((k + 1, outputs))
    room = max(width, _LANES)
    hidden_low, linear_low = np.zeros((units, room)), np.zeros((outputs, room))
    signal, result = np.zeros((widest, room)), np.zeros((widest, room))
    used, most, every = np.empty((units, outputs)), np.empty(units), np.arange(widest)
    active = np.empty(units, np.int64)
    for network in range(out.shape[0]):
        for row in range(out.shape[1]):
            hidden[:k], linear[:k] = 0.0, 0.0
            hidden[k], linear[k] = layers[0][1][network, 0], layers[1][1][network, 0]
            prepared = medians[network], means[network], scales[network]
            _add_inputs(X[row], neutral[row], prepared, groups, layers[0][0][network], hidden)
            mixed = _take_linear_units(hidden, layers[1][0][network], linear, used)
            _sum_low_groups(hidden, mixed, low, hidden_low)
            _sum_increases(hidden, mixed, low, most)
            _sum_low_groups(linear, outputs, low, linear_low)
            for start in range(0, out.shape[2], width):
                count = 0
                for unit in range(mixed):
                    value = _with_high_groups(hidden, unit, low, start)
                    if value + most[unit] > 0.0:
                        active[count] = unit
                        _add_to_all(hidden_low, unit, value, signal, count)
                        count += 1
                for output in range(outputs):
                    _add_to_all(linear_low, output, _with_high_groups(linear, output, low, start), result, output)
                _rectify(signal, count)
                _add_products(signal, used, active[:count], result, outputs)
                for depth in range(2, len(layers)):
                    signal, result = result, signal
                    bias, later = layers[depth][1][network, 0], layers[depth][0][network]
                    for output in range(len(bias)):
                        result[output] = bias[output]
                    _rectify(signal, len(later))
                    _add_products(signal, later, every[: len(later)], result, len(bias))
                for coalition in range(width):
                    out[network, row, start + coalition] = result[0, coalition]


@kernel
def _add_inputs(row: Array, neutral: Array, prepared: Any, groups: Array, weights: Array, hidden: Array) -> None:
    """Add the neutral row's inputs times their weights to the last vector, and each group's changes to its vector."""
    medians, means, scales = prepared
    for column in range(len(row)):
        value = ((medians[column] if np.isnan(row[column]) else row[column]) - means[column]) / scales[column]
        base = ((medians[column] if np.isnan(neutral[column]) else neutral[column]) - means[column]) / scales[column]
        _add_input(hidden, hidden.shape[0] - 1, base, weights[column])
        if value != base:
            _add_input(hidden, groups[column], value - base, weights[column])


@kernel
def _add_input(hidden: Array, place: int, value: float, weights: Array) -> None:
    """Add an input times its weights to the vector at a place."""
    for unit in range(len(weights)):
        hidden[place, unit] += value * weights[unit]


@kernel
def _take_linear_units(hidden: Array, weights: Array, linear: Array, used: Array) -> int:
    """Move the hidden units that are linear on to the second layer; return the number of units that are mixed.

    The vectors in `hidden` (k + 1, units) and the weights in `used` are then those of the mixed units only.
    """
    k, mixed = hidden.shape[0] - 1, 0
    for unit in range(hidden.shape[1]):
        least = most = hidden[k, unit]
        for group in range(k):
            least += min(hidden[group, unit], 0.0)
            most += max(hidden[group, unit], 0.0)
        if least >= 0.0:
            for place in range(k + 1):
                for output in range(linear.shape[1]):
                    linear[place, output] += hidden[place, unit] * weights[unit, output]
        elif most > 0.0:
            for place in range(k + 1):
                hidden[place, mixed] = hidden[place, unit]
            for output in range(weights.shape[1]):
                used[mixed, output] = weights[unit, output]
            mixed += 1
    return mixed


@kernel
def _sum_low_groups(changes: Array, count: int, low: int, out: Array) -> None:
    """Sum the changes, (>= low, >= count), over the groups of each coalition of the `low` first groups, by unit."""
    for unit in range(count):
        out[unit, 0] = 0.0
        for group in range(low):
            half, change = _1 << np.uint64(group), changes[group, unit]
            for coalition in range(half):
                out[unit, half + coalition] = out[unit, coalition] + change


@kernel
def _sum_increases(changes: Array, count: int, low: int, out: Array) -> None:
    """Sum the positive changes by the `low` first groups, by unit: the most that they add in any coalition."""
    out[:count] = 0.0
    for group in range(low):
        for unit in range(count):
            out[unit] += max(changes[group, unit], 0.0)


@kernel
def _with_high_groups(changes: Array, unit: int, low: int, start: int) -> float:
    """Return a unit's value for the neutral row plus its changes by the groups of coalition `start`, from `low` on."""
    k = changes.shape[0] - 1
    value = changes[k, unit]
    for group in range(low, k):
        if (start >> group) & 1:
            value += changes[group, unit]
    return float(value)


@kernel
def _add_to_all(sums: Array, unit: int, value: float, out: Array, place: int) -> None:
    """Write a unit's sums plus a value to a place."""
    step = np.uint64(sums.shape[1])
    at, to = np.uint64(unit) * step, np.uint64(place) * step
    for start in range(_0, step, np.uint64(_LANES)):
        part = load(sums, at + start, _LANES)
        store(out, to + start, add(part, fill_like(value, part)))


@kernel
def _rectify(signal: Array, count: int) -> None:
    """Apply the ReLU to the first units."""
    for at in range(_0, np.uint64(count) * np.uint64(signal.shape[1]), np.uint64(_LANES)):
        store(signal, at, rectified(load(signal, at, _LANES)))


@kernel
def _add_products(signal: Array, weights: Array, units: Array, result: Array, outputs: int) -> None:
    """Add the signals times the weights of the units to the outputs, two at a time, whose sums stay in registers."""
    step, paired = np.uint64(signal.shape[1]), np.uint64(outputs) & ~_1
    for output in range(_0, paired, np.uint64(2)):
        for start in range(_0, step, np.uint64(_LANES)):
            at, place = output * step + start, np.uint64(start)
            one, other = load(result, at, _LANES), load(result, at + step, _LANES)
            for unit in units:
                values = load_like(signal, place, one)
                one = add_product(one, values, weights[np.uint64(unit), output])
                other = add_product(other, values, weights[np.uint64(unit), output + _1])
                place += step
            store(result, at, one)
            store(result, at + step, other)
    for output in range(paired, np.uint64(outputs)):
        for start in range(_0, step, np.uint64(_LANES)):
            at, place = output * step + start, np.uint64(start)
            sums = load(result, at, _LANES)
            for unit in units:
                sums = add_product(sums, load_like(signal, place, sums), weights[np.uint64(unit), output])
                place += step
            store(result, at, sums)


@kernel
def shapley_values(values: Array, weights: Array, out: Array) -> None:
    """Compute the Shapley value of each of k groups: the mean of its change over all orders of the groups.

    Parameters
    ----------
    values
        Value of each coalition, float64 (n, 2^k).
    weights
        |S|! (k - 1 - |S|)! / k! by the size of S, float64 (k,).
    out
        Receives the Shapley values, (n, k); zeros before.
    """
    for row in range(out.shape[0]):
        for coalition in range(values.shape[1]):
            size = 0
            for group in range(out.shape[1]):
                size += (coalition >> group) & 1
            for group in range(out.shape[1]):
                if not (coalition >> group) & 1:
                    change = values[row, coalition | (1 << group)] - values[row, coalition]
                    out[row, group] += weights[size] * change
