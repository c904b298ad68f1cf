"""Trees as flat arrays: all trees of all replicas in one array of nodes that worker processes memory-map and share.

A node is one unsigned word (`engine.members.node_layout`). Siblings are next to each other, level by level, and a leaf
is its own child, so that a walk needs no branch that a processor could mispredict.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.arrays import Array, Floats, check_replica_request, read_only
from engine.errors import ValidationError
from engine.members import tree_kernels
from engine.members.feature_bins import BinEdges, common_edges
from engine.members.node_layout import NARROW, NODE_LAYOUTS, WIDE
from engine.resources.chunked_arrays import ChunkedArray, NamedArrays

_CHUNK_ROWS = 1024  # encoded rows that stay in the second-level cache while a replica's trees are swept


@dataclass(frozen=True, eq=False)
class TreeNodes:
    """The nodes of some trees before they are packed, siblings next to each other.

    Attributes
    ----------
    column
        Feature that an inner node splits.
    cut
        Index of its cut.
    missing_left
        True if a missing value goes left.
    left
        Index of the left child among all nodes here; the node itself at a leaf.
    value
        Value at leaves.
    starts, depths
        Root and depth of each tree.
    """

    column: NDArray[np.int64]  # (N,)
    cut: NDArray[np.int64]  # (N,)
    missing_left: NDArray[np.bool_]  # (N,)
    left: NDArray[np.int64]  # (N,)
    value: Floats  # (N,)
    starts: NDArray[np.int64]  # (trees,)
    depths: NDArray[np.int64]  # (trees,)


@dataclass(frozen=True, eq=False)
class FlatTrees:
    """B replicas of some trees each, over one table of cuts."""

    cuts: BinEdges
    nodes: Array  # (N,) uint32 or uint64
    starts: NDArray[np.int64]  # (trees,) the root of each tree
    depths: NDArray[np.uint8]  # (trees,) steps to its deepest leaf
    first: NDArray[np.int64]  # (B + 1,) the trees of replica b are first[b] to first[b + 1] - 1

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        for name, array in self.to_arrays().items():
            object.__setattr__(self, name, read_only(array))

    @classmethod
    def pack(cls, cuts: BinEdges, grown: TreeNodes) -> FlatTrees:
        """Pack the trees of one replica. Raises ValidationError if they are too large even for 64-bit nodes."""
        leaf = grown.left == np.arange(len(grown.left))
        column = np.where(leaf, 0, grown.column + cuts.n_features * grown.missing_left)
        offset = grown.left - np.arange(len(grown.left))
        needed = (int(grown.cut[~leaf].max(initial=0)), 2 * cuts.n_features - 1, int(offset.max(initial=0)))
        for dtype, layout in NODE_LAYOUTS.items():
            offset_bits = 8 * dtype.itemsize - layout.offset_shift
            if all(n < 1 << bits for n, bits in zip(needed, (*layout, offset_bits), strict=True)):
                break
        else:
            raise ValidationError(
                f"trees with {cuts.n_features} features, {needed[0]} cuts of one and children {needed[2]} nodes away "
                "do not fit into 64-bit nodes: use fewer features, or smaller trees"
            )
        word = grown.cut.astype(dtype) << 1 | column.astype(dtype) << (1 + layout.cut_bits)
        word |= offset.astype(dtype) << layout.offset_shift
        bits = _leaf_bits(grown.value).astype(dtype)
        upper = 8 * dtype.itemsize - 32
        nodes = np.where(leaf, (bits << upper) | dtype.type(1), word).astype(dtype)
        return cls(cuts, nodes, grown.starts, grown.depths.astype(np.uint8), np.array([0, len(grown.starts)]))

    @classmethod
    def concatenate(cls, sequence: Sequence[FlatTrees]) -> FlatTrees:
        """Return the replicas of all, in order. Raises ValidationError if their cuts differ."""
        cuts = common_edges(trees.cuts for trees in sequence)
        joined = join_replicas([trees.to_arrays() for trees in sequence])
        return cls.from_arrays(cuts, {name: pieces.to_array() for name, pieces in joined.items()})

    @property
    def n_replicas(self) -> int:
        """Number of replicas, B."""
        return len(self.first) - 1

    @property
    def leaf_values(self) -> NDArray[np.float32]:
        """The nodes read as values, (N,), valid at leaves."""
        return self.nodes.view(np.float32)[self.nodes.itemsize // 4 - 1 :: self.nodes.itemsize // 4]

    @property
    def layout(self) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
        """Masks and shifts of the nodes, as kernels take them."""
        return NODE_LAYOUTS[self.nodes.dtype].masks_and_shifts()

    def leaf_sums(self, X: Floats, start: int, stop: int | None) -> Floats:
        """Return the sum of the leaf values over the trees of replicas start..stop-1, float64 (stop-start, n).

        Leaf values are added in the order of the trees. Temporary memory is 2 f bytes a row, and the result once more.

        Parameters
        ----------
        X
            Rows, float64 (n, f); NaN = missing.
        start, stop
            Range of the replicas; `stop` None means all from `start`.
        """
        replicas = check_replica_request(X, self.cuts.n_features, self.n_replicas, start, stop)
        plan = _sweep_plan(len(X))
        codes = self.cuts.encode_blocks(X, plan.lanes)
        total = np.zeros((len(replicas), len(codes) * plan.lanes))
        first = np.ascontiguousarray(self.first[replicas.start : replicas.stop + 1])
        values = self.nodes.view(np.float32)
        blocks = max(1, _CHUNK_ROWS // plan.lanes)
        for block in range(0, len(codes), blocks):
            row = block * plan.lanes
            plan.kernel(
                self.nodes,
                values,
                self.starts,
                self.depths,
                first,
                codes[block : block + blocks],
                len(X) - row,
                total[:, row : row + blocks * plan.lanes],
            )
        return total[:, : len(X)]

    def to_arrays(self) -> dict[str, Array]:
        """Return the arrays by name, as `from_arrays` takes them, without the cuts, which several members share."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "cuts"}

    @classmethod
    def from_arrays(cls, cuts: BinEdges, arrays: Mapping[str, Array]) -> FlatTrees:
        """Return the trees of these arrays, which may be read-only memory maps: nothing is copied."""
        return cls(
            cuts, **{field.name: np.asarray(arrays[field.name]) for field in fields(cls) if field.name != "cuts"}
        )


class SweepPlan(NamedTuple):
    """How many rows go through a tree together; no number depends on it.

    Attributes
    ----------
    lanes
        Rows in a vector.
    kernel
        The compiled loop for this number of lanes.
    """

    lanes: int
    kernel: Callable[..., None]


_CARD = SweepPlan(16, tree_kernels.sum_leaves_16)
_BOTH_SIDES = SweepPlan(32, tree_kernels.sum_leaves_32)
_SOME_ROWS = SweepPlan(64, tree_kernels.sum_leaves_64)
_MANY_ROWS = SweepPlan(256, tree_kernels.sum_leaves_256)


def _sweep_plan(rows: int) -> SweepPlan:
    """Return the plan for a number of rows: many rows share the work of a node in longer vectors."""
    return next(
        (plan for plan in (_CARD, _BOTH_SIDES) if rows <= plan.lanes), _SOME_ROWS if rows <= 128 else _MANY_ROWS
    )


def join_replicas(sequence: Sequence[NamedArrays]) -> dict[str, ChunkedArray]:
    """Join the arrays of several `FlatTrees` over one table of cuts, in order; names as in `FlatTrees.to_arrays`."""
    dtype = max((arrays["nodes"].dtype for arrays in sequence), key=lambda kind: kind.itemsize)
    nodes_before = np.cumsum([0, *(len(arrays["nodes"]) for arrays in sequence)])
    trees_before = np.cumsum([0, *(len(arrays["starts"]) for arrays in sequence)])
    return {
        "nodes": ChunkedArray.from_loaders([partial(_nodes, arrays, dtype) for arrays in sequence]),
        "starts": ChunkedArray.from_loaders(
            [partial(_shifted, arrays, n) for arrays, n in zip(sequence, nodes_before, strict=False)]
        ),
        "depths": ChunkedArray.from_loaders([partial(arrays.__getitem__, "depths") for arrays in sequence]),
        "first": ChunkedArray.from_loaders(
            [
                partial(np.zeros, 1, np.int64),
                *(partial(_ends, arrays, n) for arrays, n in zip(sequence, trees_before, strict=False)),
            ]
        ),
    }


def _nodes(arrays: NamedArrays, dtype: np.dtype[np.unsignedinteger]) -> Array:
    return _widen(arrays["nodes"], dtype)


def _shifted(arrays: NamedArrays, nodes_before: int) -> Array:
    return np.asarray(arrays["starts"] + nodes_before)


def _ends(arrays: NamedArrays, trees_before: int) -> Array:
    return np.asarray(arrays["first"][1:] + trees_before)


def level_order(left: NDArray[np.int64], right: NDArray[np.int64], roots: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the nodes of trees level by level, siblings next to each other; children are negative at leaves."""
    levels = [roots]
    while (inner := levels[-1][left[levels[-1]] >= 0]).size:
        levels.append(np.column_stack([left[inner], right[inner]]).ravel())
    return levels


def join_trees(trees: Sequence[TreeNodes]) -> TreeNodes:
    """Return all trees in one `TreeNodes`, in order."""
    before = np.cumsum([0, *(len(tree.left) for tree in trees)])
    moved = list(zip(trees, before, strict=False))
    return TreeNodes(
        column=np.concatenate([tree.column for tree in trees]),
        cut=np.concatenate([tree.cut for tree in trees]),
        missing_left=np.concatenate([tree.missing_left for tree in trees]),
        left=np.concatenate([tree.left + start for tree, start in moved]),
        value=np.concatenate([tree.value for tree in trees]),
        starts=np.concatenate([tree.starts + start for tree, start in moved]),
        depths=np.concatenate([tree.depths for tree in trees]),
    )


def _leaf_bits(value: Floats) -> NDArray[np.uint32]:
    """Return the bits of float32 values with the last bit set: rounded towards 0; for 0 the smallest number."""
    bits = value.astype(np.float32).view(np.uint32)
    return np.where((bits & 1 == 1) | (bits << np.uint32(1) == 0), bits | np.uint32(1), bits - np.uint32(1))


def _widen(nodes: Array, dtype: np.dtype[np.unsignedinteger]) -> Array:
    """Return nodes as words of `dtype`."""
    if nodes.dtype == dtype:
        return nodes
    word = nodes.astype(np.uint64)
    cut = word >> np.uint64(1) & np.uint64((1 << NARROW.cut_bits) - 1)
    column = word >> np.uint64(1 + NARROW.cut_bits) & np.uint64((1 << NARROW.column_bits) - 1)
    inner = cut << np.uint64(1) | column << np.uint64(1 + WIDE.cut_bits)
    inner |= word >> np.uint64(NARROW.offset_shift) << np.uint64(WIDE.offset_shift)
    return np.where(nodes & 1 == 1, word << np.uint64(32) | np.uint64(1), inner)
