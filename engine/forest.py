"""Random forests: fitted by scikit-learn, predicted from flat arrays.

90% of the time of `RandomForestClassifier.predict_proba` on a dozen rows is overhead of each call, and a pickled
forest is 20 times the size of its numbers. So all trees of all replicas are laid out in a few flat arrays that
worker processes can memory-map and share, and are walked together by numpy, a level at a time.
Covers binary forests only. Tuning and resampling are the caller's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree._tree import Tree

from engine.errors import ValidationError
from engine.member import Array, Floats, check_request

# Replica-row pairs, and rows, that are walked together: their nodes, rows and temporaries stay in the cache.
_PAIRS_AT_ONCE = 16_384
_ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class ForestParams:
    """How a forest is grown; the names follow scikit-learn's where they mean the same."""

    trees: int = 50
    max_depth: int = 10
    min_samples_leaf: int = 10
    max_features: float | str = "sqrt"


def fit_forest(
    X: Floats,
    won: Array,
    sample_weight: Floats | None,
    params: ForestParams,
    seed: int,
    n_jobs: int = 1,
) -> RandomForestClassifier:
    """Fit one forest on X (n, f; NaN = missing, learnt natively) and won (n; 1 = first fighter won).

    The result depends on the arguments alone, never on n_jobs or on global random state.
    """
    model = RandomForestClassifier(
        n_estimators=params.trees,
        max_depth=params.max_depth,
        min_samples_leaf=params.min_samples_leaf,
        max_features=params.max_features,
        random_state=seed,
        n_jobs=n_jobs,
    )
    return model.fit(X, won, sample_weight=sample_weight)


@dataclass(frozen=True)
class FlatForests:
    """All trees of B forests of T trees each, as flat arrays over their N nodes.

    A row is walked twice as wide: once with -inf and once with +inf where a feature is missing; a node looks in the
    half that sends a missing feature where the tree learnt to send it. At node k a row goes to `left[k]` when the
    column is at most the threshold, otherwise to `left[k] + 1`. A leaf is its own left child with an infinite
    threshold, so that a walk that arrives early stays where it is.
    """

    column: NDArray[np.int16]  # (N,) the feature where missing goes left, f + the feature where it goes right
    threshold: NDArray[np.float32]  # (N,) finite, but for leaves
    left: NDArray[np.int32]  # (N,)
    value: NDArray[np.float64]  # (N,) share of wins of the first fighter at this node
    roots: NDArray[np.int32]  # (B, T)
    depths: NDArray[np.int16]  # (B, T) steps from the root to the deepest leaf
    n_features: NDArray[np.int32]  # (1,) width of the rows

    @classmethod
    def from_forest(cls, model: RandomForestClassifier) -> FlatForests:
        """One fitted binary forest (classes 0 and 1) as a set of one replica."""
        if list(model.classes_) != [0, 1]:
            raise ValidationError(f"a forest needs the classes 0 and 1, this one knows {list(model.classes_)}")
        if 2 * model.n_features_in_ > np.iinfo(np.int16).max:
            raise ValidationError(f"{model.n_features_in_} features are more than 16-bit columns reach; use fewer")
        trees = [_flatten(estimator.tree_) for estimator in model.estimators_]
        joined = _join(trees, axis=1)
        return cls(n_features=np.array([model.n_features_in_], dtype=np.int32), **joined)

    @classmethod
    def concatenate(cls, sequence: Sequence[FlatForests]) -> FlatForests:
        """The replicas of all sets, in order. Raises ValidationError when trees or features differ in number."""
        shapes = {(forests.roots.shape[1], int(forests.n_features[0])) for forests in sequence}
        if len(shapes) != 1:
            raise ValidationError(f"forests to join must agree in trees and features, got {sorted(shapes)}")
        joined = _join([forests.to_arrays() for forests in sequence], axis=0)
        return cls(n_features=sequence[0].n_features, **joined)

    @property
    def n_replicas(self) -> int:
        """Number of forests."""
        return len(self.roots)

    def predict_replicas(self, X: Floats, start: int = 0, stop: int | None = None) -> Floats:
        """P(first wins) by forests start..stop-1 for rows X (n, f; NaN = missing): float64 (stop-start, n).

        Bit-equal to `predict_proba(X)[:, 1]` of the same forest with n_jobs=1: features are compared as float32, and
        leaf values are added in the order of the trees. Temporary memory is about 1 MB beside X and the result.
        """
        replicas = check_request(X, int(self.n_features[0]), self.n_replicas, start, stop)
        rows = _double(X)
        answer = np.empty((len(replicas), len(rows)))
        rows_at_once = min(max(len(rows), 1), _ROWS_AT_ONCE)
        replicas_at_once = max(1, _PAIRS_AT_ONCE // rows_at_once)
        for r in range(0, len(replicas), replicas_at_once):
            roots = self.roots[start + r : min(start + r + replicas_at_once, replicas.stop)]
            depths = self.depths[start + r : start + r + len(roots)].max(axis=0)
            for i in range(0, len(rows), rows_at_once):
                block = rows[i : i + rows_at_once]
                answer[r : r + len(roots), i : i + len(block)] = self._walk(block, roots, depths)
        return answer

    def _walk(self, rows: NDArray[np.float32], roots: NDArray[np.int32], depths: NDArray[np.int16]) -> Floats:
        """Mean leaf value of each forest (r, T) for each row (n, f): (r, n)."""
        flat = rows.ravel()
        offset = np.tile(np.arange(len(rows)) * rows.shape[1], len(roots))
        total = np.zeros(offset.size)
        for position, depth in enumerate(depths):
            node = np.repeat(roots[:, position].astype(np.intp), len(rows))
            for _ in range(depth):
                right = flat.take(offset + self.column.take(node)) > self.threshold.take(node)
                np.add(self.left.take(node), right, out=node)
            total += self.value.take(node)
        return (total / len(depths)).reshape(len(roots), len(rows))

    def to_arrays(self) -> dict[str, Array]:
        """The arrays by name, as `from_arrays` takes them."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> FlatForests:
        """The forests in these arrays, which may be read-only memory maps: nothing is copied."""
        return cls(**{field.name: np.asarray(arrays[field.name]) for field in fields(cls)})


def _flatten(tree: Tree) -> dict[str, Array]:
    """One scikit-learn tree with siblings side by side, level by level."""
    order = [np.zeros(1, dtype=np.intp)]
    while (inner := order[-1][tree.children_left[order[-1]] >= 0]).size:
        order.append(np.column_stack([tree.children_left[inner], tree.children_right[inner]]).ravel())
    old = np.concatenate(order)
    new = np.empty_like(old)
    new[old] = np.arange(old.size)
    leaf = tree.children_left[old] < 0
    missing_left = tree.missing_go_to_left[old].astype(np.bool_)
    return {
        "column": np.where(leaf, 0, tree.feature[old] + tree.n_features * ~missing_left).astype(np.int16),
        "threshold": np.where(leaf, np.float32(np.inf), _round_down(tree.threshold[old])),
        "left": np.where(leaf, np.arange(old.size), new[tree.children_left[old]]).astype(np.int32),
        "value": tree.value[old, 0, 1],
        "roots": np.zeros((1, 1), dtype=np.int32),
        "depths": np.array([[len(order) - 1]], dtype=np.int16),
    }


def _round_down(threshold: Floats) -> NDArray[np.float32]:
    """The largest finite float32 <= threshold: for every finite float32 x, x <= threshold is x <= that.

    Finite, so that +inf in place of a missing feature is above it even where only missing features go right.
    """
    largest = np.finfo(np.float32).max
    nearest = np.clip(threshold, -largest, largest).astype(np.float32)
    return np.where(nearest > threshold, np.nextafter(nearest, np.float32(-np.inf)), nearest)


def _double(X: Floats) -> NDArray[np.float32]:
    """X (n, f) as float32 (n, 2f): with -inf, then with +inf, in place of missing features."""
    rows = X.astype(np.float32)
    missing = np.isnan(rows)
    return np.hstack([np.where(missing, -np.inf, rows), np.where(missing, np.inf, rows)])


def _join(parts: Sequence[Mapping[str, Array]], axis: int) -> dict[str, Array]:
    """Node arrays end to end, child and root indices moved along; the trees of the parts are joined on `axis`."""
    starts = np.cumsum([0] + [len(part["left"]) for part in parts])
    if starts[-1] > np.iinfo(np.int32).max:
        raise ValidationError(f"{starts[-1]} nodes are more than 32-bit indices reach; use fewer trees or replicas")
    joined = {name: np.concatenate([part[name] for part in parts]) for name in ("column", "threshold", "value")}
    moved = list(zip(parts, starts[:-1].astype(np.int32), strict=True))
    joined["left"] = np.concatenate([part["left"] + start for part, start in moved])
    joined["roots"] = np.concatenate([part["roots"] + start for part, start in moved], axis=axis)
    joined["depths"] = np.concatenate([part["depths"] for part in parts], axis=axis)
    return joined
