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
from engine.vectors import add_product, load, load_like, store

_0, _1 = np.uint64(0), np.uint64(1)
_OUTSIDE, _ROW = np.uint64(16), np.uint64(32)
_GROUPS = np.uint64(0xFFFF)
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
        Receives the dividends, float64 (n, 2^k); zeros before.

    References
    ----------
    Harsanyi (1963), "A simplified bargaining model for the n-person cooperative game" (dividends).
    Lundberg et al. (2020), "From local explanations to global understanding with explainable AI for trees".
    Laberge and Pequignot (2022), "Understanding interventional TreeSHAP: how and why it works" (groups of features).
    """
    cut_mask, feature_shift, feature_mask, offset_shift = layout
    room = out.size + 2  # a walk decides each group once, so a row has at most 2^k at a time
    node_now, node_next, node_end = np.empty(room, np.uint64), np.empty(room, np.uint64), np.empty(room, np.uint64)
    # Groups inside (bits 0 to 15) and outside (16 to 31), and the row.
    state_now, state_next, state_end = np.empty(room, np.uint64), np.empty(room, np.uint64), np.empty(room, np.uint64)
    for root in roots:
        walks, ended = out.shape[0], np.int64(0)
        for row in range(walks):
            node_now[row], state_now[row] = np.uint64(root), np.uint64(row) << _ROW
        while walks:  # all walks take one step, without a branch that a processor could mispredict
            count = np.int64(0)
            for walk in range(walks):
                node, state = node_now[walk], state_now[walk]
                word = np.uint64(nodes[node])
                inner = (word & _1) ^ _1
                node_end[ended], state_end[ended] = node, state
                ended += np.int64(word & _1)
                column = (word >> feature_shift) & feature_mask & (_0 - inner)
                cut = (word >> _1) & cut_mask
                left, row, bit = node + (word >> offset_shift), state >> _ROW, bits[column]
                right = np.uint64(np.uint64(codes[row, column]) > cut)
                neutral_right = np.uint64(np.uint64(neutral[row, column]) > cut)
                is_inside, is_outside = np.uint64(state & bit != _0), np.uint64(state & (bit << _OUTSIDE) != _0)
                differ = (right ^ neutral_right) & inner
                parts = differ & ((is_inside | is_outside) ^ _1)
                node_next[count], state_next[count] = left + (right ^ (differ & is_outside)), state | bit * parts
                count += np.int64(inner)
                node_next[count], state_next[count] = left + neutral_right, state | bit << _OUTSIDE
                count += np.int64(parts)
            node_now, node_next = node_next, node_now
            state_now, state_next = state_next, state_now
            walks = int(count)
        for walk in range(ended):
            state, value = state_end[walk], np.float64(values[node_end[walk]])
            sums, inside, outside = out[state >> _ROW], state & _GROUPS, (state >> _OUTSIDE) & _GROUPS
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
    hidden_low, linear_low = np.empty((units, width)), np.empty((outputs, width))
    room = max(width, _LANES)
    signal, result = np.zeros((widest, room)), np.zeros((widest, room))
    used, active_weights = np.empty((units, outputs)), np.empty((units, outputs))
    for network in range(out.shape[0]):
        for row in range(out.shape[1]):
            hidden[:k], linear[:k] = 0.0, 0.0
            hidden[k], linear[k] = layers[0][1][network, 0], layers[1][1][network, 0]
            prepared = medians[network], means[network], scales[network]
            _add_inputs(X[row], neutral[row], prepared, groups, layers[0][0][network], hidden)
            mixed = _take_linear_units(hidden, layers[1][0][network], linear, used)
            _sum_low_groups(hidden, mixed, low, hidden_low)
            _sum_low_groups(linear, outputs, low, linear_low)
            for start in range(0, out.shape[2], width):
                active = _take_active_units(hidden, used, mixed, low, start, hidden_low, signal, active_weights)
                for output in range(outputs):
                    value = _with_high_groups(linear, output, low, start)
                    for coalition in range(width):
                        result[output, coalition] = value + linear_low[output, coalition]
                _add_active(signal, active_weights, active, result, outputs)
                for depth in range(2, len(layers)):
                    signal, result = result, signal
                    bias = layers[depth][1][network, 0]
                    for output in range(len(bias)):
                        result[output] = bias[output]
                    later = layers[depth][0][network]
                    _add_active(signal, later, later.shape[0], result, len(bias))
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
            half = 1 << group
            for coalition in range(half):
                out[unit, half + coalition] = out[unit, coalition] + changes[group, unit]


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
def _take_active_units(
    changes: Array, weights: Array, count: int, low: int, start: int, sums: Array, signal: Array, active_weights: Array
) -> int:
    """Copy the units that some coalition from `start` on activates, with their weights; return the number of units."""
    active = 0
    for unit in range(count):
        value = _with_high_groups(changes, unit, low, start)
        most = value
        for group in range(low):
            most += max(changes[group, unit], 0.0)
        if most > 0.0:
            for coalition in range(sums.shape[1]):
                signal[active, coalition] = value + sums[unit, coalition]
            for output in range(weights.shape[1]):
                active_weights[active, output] = weights[unit, output]
            active += 1
    return active


@kernel
def _add_active(signal: Array, weights: Array, inputs: int, result: Array, outputs: int) -> None:
    """Apply the ReLU to the inputs, and add what they give to the outputs, whose sums stay in registers."""
    for source in range(inputs):
        for coalition in range(signal.shape[1]):
            signal[source, coalition] = max(signal[source, coalition], 0.0)
    step = np.uint64(signal.shape[1])
    for output in range(outputs):
        for start in range(0, signal.shape[1], _LANES):
            at, place = np.uint64(output) * step + np.uint64(start), np.uint64(start)
            sums = load(result, at, _LANES)
            for source in range(inputs):
                sums = add_product(sums, load_like(signal, place, sums), weights[source, output])
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
