"""Random forests: grown on encoded features, predicted from flat arrays.

The method is that of scikit-learn's `RandomForestClassifier` (Gini criterion, resampled rows, missing values sent to
the better side), on features cut into the bins that XGBoost uses. This takes a fifteenth of the time, and the splits
are then indices into one table of cuts, which all members share (`engine.members.feature_bins`). A forest fitted by
scikit-learn can be converted, with a table of its own. Covers binary forests; tuning and resampling of fights are left
to the caller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.arrays import Array, Floats
from engine.errors import ValidationError
from engine.members.feature_bins import BinEdges
from engine.members.flat_trees import FlatTrees, TreeNodes, join_trees, level_order
from engine.members.tree_growth import grow_tree

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.tree._tree import Tree

_MAX_DEPTH = 30  # a full tree of this depth has more leaves than any fight log has rows


@dataclass(frozen=True)
class ForestParams:
    """Hyperparameters of a random forest; names are scikit-learn's if the meaning is the same.

    Attributes
    ----------
    trees
        Number of trees.
    max_depth
        Greatest depth of a tree.
    min_samples_leaf
        Fewest rows of a leaf.
    max_features
        Share of the features that are tried at a node, or "sqrt" for the square root of their number.
    """

    trees: int = 50
    max_depth: int = 10
    min_samples_leaf: int = 40
    max_features: float | str = "sqrt"

    def __post_init__(self) -> None:
        """Raise ValidationError naming the invalid values."""
        if self.trees < 1 or self.min_samples_leaf < 1 or not 1 <= self.max_depth <= _MAX_DEPTH:
            raise ValidationError(f"a forest needs trees and leaves, and a depth of 1 to {_MAX_DEPTH}: {self}")
        if self.max_features != "sqrt" and not (
            isinstance(self.max_features, float) and 0.0 < self.max_features <= 1.0
        ):
            raise ValidationError(
                f"max_features must be 'sqrt' or a share above 0 up to 1.0, not {self.max_features!r}"
            )

    def features_per_split(self, n_features: int) -> int:
        """Return the number of features that are tried at a node."""
        share = np.sqrt(n_features) if isinstance(self.max_features, str) else self.max_features * n_features
        return max(1, int(share))


def grow_forest(
    cuts: BinEdges,
    codes: Array,
    won: Floats,
    weight: NDArray[np.int64],
    params: ForestParams,
    seeds: NDArray[np.uint64],
) -> FlatForests:
    """Grow one forest and return it as a set of one replica; the result depends on the arguments alone.

    Parameters
    ----------
    cuts
        The bins.
    codes
        Encoded rows, (n, f), as from `BinEdges.encode_for_training`.
    won
        Result of the first fighter in [0, 1], (n,).
    weight
        How often each row counts, (n,).
    params
        Hyperparameters.
    seeds
        One seed for each tree, (params.trees,).

    Raises
    ------
    ValidationError
        If all weights are 0.
    """
    rows = int(np.count_nonzero(weight))
    if not rows:
        raise ValidationError("all weights are 0: there is no row to grow a forest on")
    most = min(2 << params.max_depth, 2 * (rows // params.min_samples_leaf) + 1)
    space = (
        np.empty(most, np.int64),
        np.empty(most, np.int64),
        np.empty(most, np.bool_),
        np.empty(most, np.int64),
        np.empty(most),
    )
    limits = (params.max_depth, params.min_samples_leaf, params.features_per_split(cuts.n_features))
    trees = []
    for seed in seeds:
        nodes, depth = grow_tree(codes, won, weight, np.diff(cuts.starts), cuts.missing_code, limits, seed, space)
        column, cut, missing_left, left, value = (_first(nodes, array) for array in space)
        trees.append(TreeNodes(column, cut, missing_left, left, value, np.array([0]), np.array([depth])))
    return FlatForests(FlatTrees.pack(cuts, join_trees(trees)))


@dataclass(frozen=True)
class FlatForests:
    """B random forests."""

    trees: FlatTrees

    @classmethod
    def from_forest(cls, model: RandomForestClassifier, cuts: BinEdges | None = None) -> FlatForests:
        """Convert one fitted binary forest of scikit-learn (classes 0 and 1) to a set of one replica.

        Parameters
        ----------
        model
            The fitted forest.
        cuts
            A table with all of its splits; by default the table of exactly these.

        Raises
        ------
        ValidationError
            If the classes are others.
        """
        if list(model.classes_) != [0, 1]:
            raise ValidationError(f"a forest needs the classes 0 and 1, this one has {list(model.classes_)}")
        trees = [estimator.tree_ for estimator in model.estimators_]
        inner = [tree.children_left >= 0 for tree in trees]
        if cuts is None:
            columns = np.concatenate([tree.feature[some] for tree, some in zip(trees, inner, strict=True)])
            thresholds = np.concatenate(
                [_exclusive_threshold(tree.threshold[some]) for tree, some in zip(trees, inner, strict=True)]
            )
            cuts = BinEdges.from_thresholds(columns, thresholds, model.n_features_in_)
        return cls(FlatTrees.pack(cuts, join_trees([_convert_tree(tree, cuts) for tree in trees])))

    @classmethod
    def concatenate(cls, sequence: Sequence[FlatForests]) -> FlatForests:
        """Return the replicas of all sets, in order. Raises ValidationError if their cuts differ."""
        return cls(FlatTrees.concatenate([forests.trees for forests in sequence]))

    @property
    def n_replicas(self) -> int:
        """Number of forests, B."""
        return self.trees.n_replicas

    def predict_replicas(self, X: Floats, start: int = 0, stop: int | None = None) -> Floats:
        """Return P(first fighter wins) by forests start..stop-1, float64 (stop-start, n).

        The mean over the trees of the share of wins at the leaf; within 1.2e-7 of `predict_proba(X)[:, 1]` for a forest
        fitted by scikit-learn.

        Parameters
        ----------
        X
            Rows, float64 (n, f); NaN = missing.
        start, stop
            Range of the forests; all of them by default.
        """
        sums = self.trees.leaf_sums(X, start, stop)
        counts = np.diff(self.trees.first)[start : start + len(sums), None]
        return np.asarray(sums / counts)

    def to_arrays(self) -> dict[str, Array]:
        """Return the arrays by name, without the cuts, as `from_arrays` takes them."""
        return self.trees.to_arrays()

    @classmethod
    def from_arrays(cls, cuts: BinEdges, arrays: Mapping[str, Array]) -> FlatForests:
        """Return the forests of these arrays, which may be read-only memory maps: nothing is copied."""
        return cls(FlatTrees.from_arrays(cuts, arrays))


def _first(nodes: int, space: Array) -> Array:
    return space[:nodes].copy()


def _convert_tree(tree: Tree, cuts: BinEdges) -> TreeNodes:
    """Return one scikit-learn tree with siblings next to each other, level by level."""
    levels = level_order(tree.children_left, tree.children_right, np.zeros(1, np.int64))
    old = np.concatenate(levels)
    new = np.empty_like(old)
    new[old] = np.arange(old.size)
    leaf = tree.children_left[old] < 0
    position = np.zeros(old.size, dtype=np.int64)
    position[~leaf] = cuts.cut_indices(tree.feature[old][~leaf], _exclusive_threshold(tree.threshold[old][~leaf]))
    return TreeNodes(
        column=np.where(leaf, 0, tree.feature[old]),
        cut=position,
        missing_left=tree.missing_go_to_left[old].astype(np.bool_) & ~leaf,
        left=np.where(leaf, np.arange(old.size), new[tree.children_left[old]]),
        value=tree.value[old, 0, 1],
        starts=np.array([0]),
        depths=np.array([len(levels) - 1]),
    )


def _exclusive_threshold(threshold: Floats) -> NDArray[np.float32]:
    """Return the float32 t for which x < t is equivalent to x <= threshold, for every finite float32 x."""
    nearest = threshold.astype(np.float32)
    return np.where(nearest > threshold, nearest, np.nextafter(nearest, np.float32(np.inf)))
