"""Fitted XGBoost models, one for each replica, predicted from flat arrays.

XGBoost's own `predict` costs a call, a matrix and a copy of the rows for each model, and reading a model file takes
milliseconds. The trees are therefore stored like those of the forests (`engine.members.flat_trees`). Covers binary
models with the logistic loss, as `engine.members.xgboost_fit` trains them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from engine.arrays import Array, Floats
from engine.errors import ValidationError
from engine.members.feature_bins import BinEdges
from engine.members.flat_trees import FlatTrees, TreeNodes, join_trees, level_order

if TYPE_CHECKING:
    import xgboost as xgb

_OBJECTIVE = "binary:logistic"


@dataclass(frozen=True)
class FlatBoosters:
    """B XGBoost models."""

    trees: FlatTrees
    base: NDArray[np.float64]  # (B,) base score of each model, as a logit

    @classmethod
    def from_booster(cls, booster: xgb.Booster, cuts: BinEdges | None = None) -> FlatBoosters:
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
        learner = json.loads(bytes(booster.save_raw("json")))["learner"]
        kind = (learner["objective"]["name"], learner["gradient_booster"]["name"])
        if kind != (_OBJECTIVE, "gbtree"):
            raise ValidationError(f"only gbtree models with {_OBJECTIVE} can be converted, this one is {kind}")
        trees = [_ParsedTree.of(tree) for tree in learner["gradient_booster"]["model"]["trees"]]
        if cuts is None:
            columns = np.concatenate([tree.column[tree.inner] for tree in trees])
            thresholds = np.concatenate([tree.condition[tree.inner] for tree in trees])
            cuts = BinEdges.from_thresholds(columns, thresholds, booster.num_features())
        base = float(learner["learner_model_param"]["base_score"].strip("[]"))
        return cls(
            FlatTrees.pack(cuts, join_trees([tree.to_nodes(cuts) for tree in trees])),
            np.array([logit(np.float64(base))]),
        )

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


@dataclass(frozen=True)
class _ParsedTree:
    """One tree as XGBoost writes it; at a leaf, `condition` is its value."""

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    column: NDArray[np.int64]
    condition: NDArray[np.float32]
    missing_left: NDArray[np.bool_]

    @classmethod
    def of(cls, tree: Mapping[str, Any]) -> _ParsedTree:
        return cls(
            np.array(tree["left_children"], dtype=np.int64),
            np.array(tree["right_children"], dtype=np.int64),
            np.array(tree["split_indices"], dtype=np.int64),
            np.array(tree["split_conditions"], dtype=np.float32),
            np.array(tree["default_left"], dtype=np.bool_),
        )

    @property
    def inner(self) -> NDArray[np.bool_]:
        return self.left >= 0

    def to_nodes(self, cuts: BinEdges) -> TreeNodes:
        """Return the nodes, siblings next to each other, level by level; nodes that XGBoost has pruned are left out."""
        levels = level_order(self.left, self.right)
        old = np.concatenate(levels)
        new = np.zeros(len(self.left), dtype=np.int64)
        new[old] = np.arange(old.size)
        inner = self.inner[old]
        position = np.zeros(old.size, dtype=np.int64)
        position[inner] = cuts.cut_indices(self.column[old][inner], self.condition[old][inner])
        return TreeNodes(
            column=self.column[old] * inner,
            cut=position,
            missing_left=self.missing_left[old] & inner,
            left=np.where(inner, new[self.left[old]], np.arange(old.size)),
            value=np.where(inner, 0.0, self.condition[old].astype(np.float64)),
            starts=np.array([0]),
            depths=np.array([len(levels) - 1]),
        )
