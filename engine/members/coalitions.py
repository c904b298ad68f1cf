"""Predictions of the members for all coalitions of feature groups, from which contributions are computed.

A coalition is a set of groups. Its row has the values of a fight in the columns of its groups (and in columns without a
group), and those of a neutral row in all others. Predicting 2^k such rows one by one takes long; here each tree is
walked once for all coalitions, and the first layer of a network is added up group by group.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from engine.arrays import Floats, ReplicatedMember
from engine.data.feature_groups import GroupedColumns
from engine.errors import ValidationError
from engine.members import coalition_kernels
from engine.members.boosted_trees import FlatBoosters
from engine.members.flat_trees import FlatTrees
from engine.members.neural_network import StackedNetworks
from engine.members.preprocessing import PreprocessedMember
from engine.members.random_forest import FlatForests


@dataclass(frozen=True, slots=True, eq=False)
class CoalitionRows:
    """Rows whose coalitions are to be predicted, n of them.

    Attributes
    ----------
    values, neutral : float64 (n, columns)
        The rows and their neutral rows, NaN if missing. They agree in columns without a group.
    columns : GroupedColumns
        The groups of the columns, k of them.
    """

    values: Floats
    neutral: Floats
    columns: GroupedColumns

    @property
    def n_coalitions(self) -> int:
        """Number of coalitions, 2^k."""
        return 1 << len(self.columns.names)


def predict_coalitions(member: ReplicatedMember, rows: CoalitionRows) -> Floats:
    """Return P(first fighter wins) by a member for every coalition, float64 (n, 2^k): the mean over its fits.

    Bit g of a coalition's number is set if group g is inside. Raises ValidationError for a member of another kind.
    """
    match member:
        case PreprocessedMember(member=inner, preprocessing=preprocessing):
            prepared = CoalitionRows(preprocessing(rows.values), preprocessing(rows.neutral), rows.columns)
            return predict_coalitions(inner, prepared)
        case FlatForests(trees=trees):
            return _mean(_tree_sums(trees, rows) / np.diff(trees.first)[:, None, None])
        case FlatBoosters(trees=trees, base=base):
            return _mean(expit(_tree_sums(trees, rows) + base[:, None, None]))
        case StackedNetworks():
            return _mean(expit(_network_logits(member, rows)))
    raise ValidationError(f"coalitions of a {type(member).__name__} cannot be predicted: use one of the three members")


def _mean(predictions: Floats) -> Floats:
    """Return the mean over the fits, added up in their order."""
    total = predictions[0].copy()
    for prediction in predictions[1:]:
        total += prediction
    return np.asarray(total / len(predictions))


def _tree_sums(trees: FlatTrees, rows: CoalitionRows) -> Floats:
    """Return the sum of the leaf values for every coalition, float64 (fits, n, 2^k)."""
    group = rows.columns.group
    bits = np.where(group < 0, 0, 1 << np.maximum(group, 0)).astype(np.uint64)
    signs = 1.0 - 2.0 * (np.bitwise_count(np.arange(rows.n_coalitions)) % 2)
    out = np.zeros((trees.n_replicas, len(rows.values), rows.n_coalitions))
    codes, neutral = (
        trees.cuts.encode_blocks(values, coalition_kernels.CARD_ROWS) for values in (rows.values, rows.neutral)
    )
    for fit, sums in enumerate(out):
        coalition_kernels.add_tree_dividends(
            trees.nodes,
            trees.leaf_values,
            trees.starts[trees.first[fit] : trees.first[fit + 1]],
            trees.layout,
            np.concatenate([bits, bits]),
            signs,
            codes,
            neutral,
            sums,
        )
        coalition_kernels.sum_dividends(sums)
    return out


def _network_logits(networks: StackedNetworks, rows: CoalitionRows) -> Floats:
    """Return the logit for every coalition, float64 (fits, n, 2^k)."""
    out = np.empty((networks.n_replicas, len(rows.values), rows.n_coalitions))
    layers = [*zip(networks.weights, networks.biases, strict=True)]
    if len(layers) == 1:  # x = max(x, 0) - max(-x, 0)
        ((weights, biases),) = layers
        both = np.concatenate([weights, -weights], axis=2), np.concatenate([biases, -biases], axis=2)
        signs = np.broadcast_to([[1.0], [-1.0]], (networks.n_replicas, 2, 1)).copy()
        layers = [both, (signs, np.zeros_like(biases))]
    coalition_kernels.run_network_coalitions(
        np.ascontiguousarray(rows.values),
        np.ascontiguousarray(rows.neutral),
        np.array(networks.medians),
        networks.means,
        networks.scales,
        rows.columns.group,
        tuple(layers),
        out,
    )
    return out
