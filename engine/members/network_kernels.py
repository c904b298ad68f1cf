"""Compiled inner loop of predicting with neural networks; the conventions are those of `engine.members.kernels`."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.arrays import Array
from engine.compilation import kernel, part_of_kernel
from engine.vectors import add_product, fill, fill_like, lanes_of, load, load_like, rectified, standardized, store

_0, _1, _8 = np.uint64(0), np.uint64(1), np.uint64(8)


@kernel
def _pack_weights(weights: Array, packed: Array, at: int) -> int:
    """Copy a layer's weights (inputs, outputs) for `_layer` into `packed` from an index on; return the index behind."""
    inputs, outputs = weights.shape
    flat = weights.ravel()
    for unit in range(0, outputs - 7, 8):
        for source in range(inputs):
            store(packed, np.uint64(at), load(flat, np.uint64(source * outputs + unit), 8))
            at += 8
    for unit in range(outputs - outputs % 8, outputs):
        for source in range(inputs):
            packed[at] = weights[source, unit]
            at += 1
    return at


@part_of_kernel
def _layer(
    signal: Array, inputs: int, packed: Array, start: int, bias: Array, is_last: bool, out: Array, rows: Any
) -> None:
    """Compute one layer of a network, 8 units at a time, whose sums stay in registers.

    Parameters
    ----------
    signal
        Inputs of the rows, by input.
    inputs
        Number of inputs.
    packed, start
        Weights as `_pack_weights` packs them, and where those of this layer start.
    bias
        Biases of the units, (units,).
    is_last
        False for a ReLU behind the layer.
    out
        Receives the outputs, by unit.
    rows
        Any vector with as many lanes as rows.
    """
    units, step = np.uint64(len(bias)), lanes_of(rows)
    unit, at = _0, np.uint64(start)
    while unit + _8 <= units:
        s0, s1 = fill_like(bias[unit], rows), fill_like(bias[unit + _1], rows)
        s2, s3 = fill_like(bias[unit + np.uint64(2)], rows), fill_like(bias[unit + np.uint64(3)], rows)
        s4, s5 = fill_like(bias[unit + np.uint64(4)], rows), fill_like(bias[unit + np.uint64(5)], rows)
        s6, s7 = fill_like(bias[unit + np.uint64(6)], rows), fill_like(bias[unit + np.uint64(7)], rows)
        source = _0
        for _ in range(inputs):
            values = load_like(signal, source, rows)
            s0 = add_product(s0, values, packed[at])
            s1 = add_product(s1, values, packed[at + _1])
            s2 = add_product(s2, values, packed[at + np.uint64(2)])
            s3 = add_product(s3, values, packed[at + np.uint64(3)])
            s4 = add_product(s4, values, packed[at + np.uint64(4)])
            s5 = add_product(s5, values, packed[at + np.uint64(5)])
            s6 = add_product(s6, values, packed[at + np.uint64(6)])
            s7 = add_product(s7, values, packed[at + np.uint64(7)])
            source += step
            at += _8
        if not is_last:
            s0, s1, s2, s3 = rectified(s0), rectified(s1), rectified(s2), rectified(s3)
            s4, s5, s6, s7 = rectified(s4), rectified(s5), rectified(s6), rectified(s7)
        place = unit * step
        store(out, place, s0)
        store(out, place + step, s1)
        store(out, place + np.uint64(2) * step, s2)
        store(out, place + np.uint64(3) * step, s3)
        store(out, place + np.uint64(4) * step, s4)
        store(out, place + np.uint64(5) * step, s5)
        store(out, place + np.uint64(6) * step, s6)
        store(out, place + np.uint64(7) * step, s7)
        unit += _8
    while unit < units:
        total, source = fill_like(bias[unit], rows), _0
        for _ in range(inputs):
            total = add_product(total, load_like(signal, source, rows), packed[at])
            source += step
            at += _1
        store(out, unit * step, total if is_last else rectified(total))
        unit += _1


@part_of_kernel
def _standardize(
    columns: Array, start: int, medians: Array, means: Array, scales: Array, out: Array, rows: Any
) -> None:
    """Write rows, standardized, to `out` by column; their values are in `columns` from `start` on, 8 a column."""
    step = lanes_of(rows)
    for column in range(len(means)):
        raw = load_like(columns, np.uint64(start + column * 8), rows)
        store(out, np.uint64(column) * step, standardized(raw, medians[column], means[column], scales[column]))


@kernel
def run_networks(X: Array, medians: Array, means: Array, scales: Array, layers: Any, out: Array) -> None:
    """Compute the logit of each network for each row. Every sum is added up in the order of the inputs.

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
    rows, features = X.shape
    widest, size = features, 0
    for depth in range(len(layers)):
        widest = max(widest, layers[depth][0].shape[2])
        size += layers[depth][0].shape[1] * layers[depth][0].shape[2]
    packed, columns = np.empty(size), np.zeros(-(-rows // 8) * features * 8)
    for row in range(rows):
        for column in range(features):
            columns[(row // 8 * features + column) * 8 + row % 8] = X[row, column]
    signal, result = np.empty(8 * widest), np.empty(8 * widest)
    eight, four = fill(0.0, 8), fill(0.0, 4)
    for network in range(out.shape[0]):
        end, row = 0, 0
        for depth in range(len(layers)):
            end = _pack_weights(layers[depth][0][network], packed, end)
        while row < rows:
            lanes = 8 if rows - row > 4 else 4
            if lanes == 8:
                _standardize(columns, row * features, medians[network], means[network], scales[network], signal, eight)
            else:
                _standardize(columns, row * features, medians[network], means[network], scales[network], signal, four)
            start = 0
            for depth in range(len(layers)):
                weights, biases = layers[depth]
                bias, is_last = biases[network, 0], depth + 1 == len(layers)
                if lanes == 8:
                    _layer(signal, weights.shape[1], packed, start, bias, is_last, result, eight)
                else:
                    _layer(signal, weights.shape[1], packed, start, bias, is_last, result, four)
                start += weights.shape[1] * weights.shape[2]
                signal, result = result, signal
            for k in range(min(lanes, rows - row)):
                out[network, row + k] = signal[k]
            row += lanes
