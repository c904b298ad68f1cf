"""Fitted XGBoost models, one for each replica, predicted from flat arrays.

XGBoost's own `predict` costs a call, a matrix and a copy of the rows for each model, and reading a model file takes
milliseconds. The trees are therefore stored like those of the forests (`engine.members.flat_trees`). Covers binary
models with the logistic loss, as `engine.members.xgboost_fit` trains them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from engine.arrays import Array, Floats
from engine.errors import ValidationError
from engine.members.feature_bins import BinEdges
from engine.members.flat_trees import FlatTrees, TreeNodes, level_order

if TYPE_CHECKING:
    import xgboost as xgb

    from engine.resources.xgboost_library import LibraryBooster

_OBJECTIVE = "binary:logistic"


@dataclass(frozen=True)
class FlatBoosters:
    """B XGBoost models."""

    trees: FlatTrees
    base: NDArray[np.float64]  # (B,) base score of each model, as a logit

    @classmethod
    def from_booster(cls, booster: xgb.Booster | LibraryBooster, cuts: BinEdges | None = None) -> FlatBoosters:
        """Convert one XGBoost model to a set of one replica.

        Parameters
        ----------
        booster
            The fitted model.
        cuts
            The cuts that it was trained on; by default the table of its own splits.

        Raises
        ------
        ValidationError
            If the model is of another kind, or was trained on other cuts.
        """
        trees = ParsedTrees.of(booster)
        if cuts is None:
            inner = trees.left >= 0
            cuts = BinEdges.from_thresholds(trees.column[inner], trees.condition[inner], booster.num_features())
        return cls(FlatTrees.pack(cuts, trees.to_nodes(cuts)), np.array([logit(np.float64(trees.base_score))]))

    @classmethod
    def concatenate(cls, sequence: Sequence[FlatBoosters]) -> FlatBoosters:
        """Return the replicas of all sets, in order. Raises ValidationError if their cuts differ."""
        return cls(
            FlatTrees.concatenate([boosters.trees for boosters in sequence]),
            np.concatenate([boosters.base for boosters in sequence]),
        )

    @property
    def n_replicas(self) -> int:
        """Number of models, B."""
        return self.trees.n_replicas

    def predict_replicas(self, X: Floats, start: int = 0, stop: int | None = None) -> Floats:
        """Return P(first fighter wins) by models start..stop-1, float64 (stop-start, n).

        Within 1e-6 of XGBoost, which adds up in float32.

        Parameters
        ----------
        X
            Rows, float64 (n, f); NaN = missing.
        start, stop
            Range of the models; all of them by default.
        """
        sums = self.trees.leaf_sums(X, start, stop)
        return np.asarray(expit(sums + self.base[start : start + len(sums), None]))

    def to_arrays(self) -> dict[str, Array]:
        """Return the arrays by name, without the cuts, as `from_arrays` takes them."""
        return {**self.trees.to_arrays(), "base": self.base}

    @classmethod
    def from_arrays(cls, cuts: BinEdges, arrays: Mapping[str, Array]) -> FlatBoosters:
        """Return the models of these arrays, which may be read-only memory maps: nothing is copied."""
        rest = dict(arrays)
        base = np.asarray(rest.pop("base"))
        return cls(FlatTrees.from_arrays(cuts, rest), base)


@dataclass(frozen=True, eq=False)
class ParsedTrees:
    """The trees of one XGBoost model as XGBoost writes them, one behind the other.

    Attributes
    ----------
    left, right
        Children among all nodes here; negative at a leaf.
    column
        Feature that an inner node splits.
    condition
        Threshold of an inner node, value of a leaf.
    missing_left
        True if a missing value goes left.
    starts
        Root of each tree.
    base_score
        Probability that the trees start from.
    """

    left: NDArray[np.int64]  # (N,)
    right: NDArray[np.int64]  # (N,)
    column: NDArray[np.int64]  # (N,)
    condition: NDArray[np.float32]  # (N,)
    missing_left: NDArray[np.bool_]  # (N,)
    starts: NDArray[np.int64]  # (trees,)
    base_score: float

    @classmethod
    def of(cls, booster: xgb.Booster | LibraryBooster) -> ParsedTrees:
        """Return the trees of a model. Raises ValidationError if it is not a binary one of trees."""
        learner = json.loads(bytes(booster.save_raw("json")))["learner"]
        kind = (learner["objective"]["name"], learner["gradient_booster"]["name"])
        if kind != (_OBJECTIVE, "gbtree"):
            raise ValidationError(f"only gbtree models with {_OBJECTIVE} can be converted, this one is {kind}")
        trees = learner["gradient_booster"]["model"]["trees"]

        def joined(name: str, dtype: type[np.generic]) -> Array:
            return np.array([number for tree in trees for number in tree[name]], dtype=dtype)

        sizes = [len(tree["left_children"]) for tree in trees]
        starts = np.cumsum([0, *sizes])[:-1]
        left, right = joined("left_children", np.int64), joined("right_children", np.int64)
        before = np.repeat(starts, sizes) * (left >= 0)
        return cls(
            left + before,
            right + before,
            joined("split_indices", np.int64),
            joined("split_conditions", np.float32),
            joined("default_left", np.bool_),
            starts,
            float(learner["learner_model_param"]["base_score"].strip("[]")),
        )

    def to_nodes(self, cuts: BinEdges) -> TreeNodes:
        """Return the nodes, siblings next to each other, level by level; nodes that XGBoost has pruned are left out."""
        levels = level_order(self.left, self.right, self.starts)
        tree = np.searchsorted(self.starts, np.concatenate(levels), side="right")
        old = np.concatenate(levels)[np.argsort(tree, kind="stable")]
        new = np.zeros(len(self.left), dtype=np.int64)
        new[old] = np.arange(old.size)
        inner = self.left[old] >= 0
        position = np.zeros(old.size, dtype=np.int64)
        position[inner] = cuts.cut_indices(self.column[old][inner], self.condition[old][inner])
        depths = np.zeros(len(self.starts), dtype=np.int64)
        for depth, level in enumerate(levels):
            depths[np.searchsorted(self.starts, level, side="right") - 1] = depth
        return TreeNodes(
            column=self.column[old] * inner,
            cut=position,
            missing_left=self.missing_left[old] & inner,
            left=np.where(inner, new[self.left[old]], np.arange(old.size)),
            value=np.where(inner, 0.0, self.condition[old].astype(np.float64)),
            starts=new[self.starts],
            depths=depths,
        )
