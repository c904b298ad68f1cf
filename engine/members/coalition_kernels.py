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
from engine.vectors import add, add_product, fill_like, load, load_like, rectified, store

_0, _1 = np.uint64(0), np.uint64(1)
_NODE, _CODE, _ROW_MASK, _GROUPS = np.uint64(0xFFFFFFFF), np.uint64(0xFFFF), np.uint64(0xFF), np.uint64(0xFFF)
_NEUTRAL, _ROW, _INSIDE, _OUTSIDE = np.uint64(16), np.uint64(32), np.uint64(40), np.uint64(52)
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

    Each tree is walked once for a row and its neutral row together. Both take the same way, or the walk goes both ways:
    with the node's group inside, and with it outside. A leaf of value v that is reached with the groups I inside and O
    outside counts in the coalitions that contain I and nothing of O; that is a dividend of (-1)^|T| v for I + T, for
    every subset T of O.

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
        Codes of the rows and of their neutral rows, (>= n, 2f).
    out
        Receives the dividends, float64 (n, 2^k) with n up to 256 and k up to 12; zeros before.

    References
    ----------
    Harsanyi (1963), "A simplified bargaining model for the n-person cooperative game" (dividends).
    Lundberg et al. (2020), "From local explanations to global understanding with explainable AI for trees".
    Laberge and Pequignot (2022), "Understanding interventional TreeSHAP: how and why it works" (groups of features).
    """
    cut_mask, feature_shift, feature_mask, offset_shift = layout
    rows = out.shape[0]
    room = out.size + 2  # a walk decides each group once, so a row has at most 2^k at a time
    # A walk: its node (bits 0 to 31), its row (to 39), and the groups inside (to 51) and outside.
    now, following, ended = np.empty(room, np.uint64), np.empty(room, np.uint64), np.empty(room, np.uint64)
    columns = np.empty((rows, len(bits)), np.uint64)  # code (bits 0 to 15), neutral code, and the bit of the group
    for row in range(rows):
        for column in range(len(bits)):
            both = np.uint64(codes[row, column]) | np.uint64(neutral[row, column]) << _NEUTRAL
            columns[row, column] = both | bits[column] << _INSIDE
    for root in roots:
        walks, ends = np.uint64(rows), np.uint64(0)
        for row in range(walks):
            now[row] = np.uint64(root) | row << _ROW
        while walks:  # all walks take one step, without a branch that a processor could mispredict
            count = np.uint64(0)
            for walk in range(walks):
                state = now[walk]
                node = state & _NODE
                word = np.uint64(nodes[node])
                leaf = word & _1
                ended[ends] = state
                ends += leaf
                column = columns[(state >> _ROW) & _ROW_MASK, (word >> feature_shift) & feature_mask & (leaf - _1)]
                cut, left = (word >> _1) & cut_mask, node + (word >> offset_shift)
                inside, rest = column & ~_NODE, state & ~_NODE
                outside = inside << (_OUTSIDE - _INSIDE)
                right, neutral_right = np.uint64(column & _CODE > cut), np.uint64((column >> _NEUTRAL) & _CODE > cut)
                is_outside = np.uint64(state & outside != _0)
                differ = (right ^ neutral_right) & (leaf ^ _1)
                parts = differ & np.uint64(state & (inside | outside) == _0)
                following[count] = (left + (right ^ (differ & is_outside))) | rest | inside * parts
                count += leaf ^ _1
                following[count] = (left + neutral_right) | rest | outside
                count += parts
            now, following = following, now
            walks = count
        for end in range(ends):
            state = ended[end]
            sums, value = out[(state >> _ROW) & _ROW_MASK], np.float64(values[state & _NODE])
            inside, outside = (state >> _INSIDE) & _GROUPS, state >> _OUTSIDE
            subset = outside
            while subset:
                sums[inside | subset] += signs[subset] * value
                subset = (subset - _1) & outside
            sums[inside] += value


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
            half, change = 1 << group, changes[group, unit]
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
