"""Compiled inner loops of predicting with trees; the conventions are those of `engine.members.kernels`.

Rows are swept through a tree together, node by node: a vector holds the position of each row in the tree, and one
comparison moves all rows that are at the node. Many rows are swept through whole trees, few through three levels, from
where each row walks on alone. A tree of three levels is a table in one register, from which rows take their leaves.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.arrays import Array
from engine.compilation import inline_kernel, kernel, part_of_kernel
from engine.members.node_layout import NARROW, WIDE
from engine.vectors import add_entries, fill, load, load_like, move, store

_0, _1, _2 = np.uint64(0), np.uint64(1), np.uint64(2)
_NOWHERE = 255  # a position, which is a byte, to which no row is swept
_HALF = np.uint64(32)
_NARROW_CUT, _NARROW_COLUMN, _NARROW_OFFSET = 1 + NARROW.cut_bits, NARROW.column_bits, NARROW.offset_shift
_WIDE_CUT, _WIDE_COLUMN, _WIDE_OFFSET = 1 + WIDE.cut_bits, WIDE.column_bits, WIDE.offset_shift
ROWS_PER_WALK = 12
"""Rows that walk on through a tree at the same time, so that their memory loads overlap."""


@part_of_kernel
def _parts(nodes: Array, word: Any) -> Any:
    """Return cut, column and steps to the left child of an inner node. Their bits depend on the type of the nodes."""
    if np.uint64(nodes.dtype.type(-1)) >> _HALF:  # known when this is compiled
        cut = (word & np.uint64((1 << _WIDE_CUT) - 1)) >> _1
        return cut, (word >> np.uint64(_WIDE_CUT)) & np.uint64((1 << _WIDE_COLUMN) - 1), word >> np.uint64(_WIDE_OFFSET)
    cut = (word & np.uint64((1 << _NARROW_CUT) - 1)) >> _1
    column = (word >> np.uint64(_NARROW_CUT)) & np.uint64((1 << _NARROW_COLUMN) - 1)
    return cut, column, word >> np.uint64(_NARROW_OFFSET)


@part_of_kernel
def _step(nodes: Array, codes: Array, row: Any, node: Any, lanes: Any) -> Any:
    """Return the node that a row reaches from a node; a row stays at a leaf."""
    word = np.uint64(nodes[node])
    inner = (word & _1) - _1  # all ones, or all zeros at a leaf
    cut, column, left = _parts(nodes, word)
    right = np.uint64(np.uint64(codes[row + (column & inner) * lanes]) > cut)
    return node + ((left + right) & inner)


@part_of_kernel
def _move_at(
    nodes: Array, root: Any, position: Any, codes: Array, block: Any, lanes: Any, now: Any, before: Any
) -> Any:
    """Return positions after a node of a tree, at a position that rows are at in `before`."""
    word = np.uint64(nodes[root + position])
    inner = (word & _1) - _1
    cut, column, steps = _parts(nodes, word)
    some = load_like(codes, block + (column & inner) * lanes, now)
    # At a leaf no code is above the cut, and the child is the node itself.
    left = np.uint8(position + (steps & inner))
    return move(now, before, some, np.uint8(position), codes.dtype.type(cut | ~inner), left, np.uint8(left + 1))


@part_of_kernel
def _sweep_levels(nodes: Array, root: Any, codes: Array, block: Any, lanes: Any, now: Any) -> Any:
    """Return the positions of a block's rows after three steps from the root of a tree."""
    first = _move_at(nodes, root, _0, codes, block, lanes, now, now)
    second = _move_at(nodes, root, _1, codes, block, lanes, first, first)
    second = _move_at(nodes, root, _2, codes, block, lanes, second, first)
    # No row was at positions 5 and 6 before if these are children of 3 or 4.
    third = _move_at(nodes, root, np.uint64(3), codes, block, lanes, second, second)
    third = _move_at(nodes, root, np.uint64(4), codes, block, lanes, third, second)
    third = _move_at(nodes, root, np.uint64(5), codes, block, lanes, third, second)
    return _move_at(nodes, root, np.uint64(6), codes, block, lanes, third, second)


@part_of_kernel
def _sweep_splits(codes: Array, block: Any, lanes: Any, count: int, splits: Any, now: Any) -> Any:
    """Return the positions of a block's rows after all splits that `_list_splits` has listed."""
    columns, cuts, places, lefts, rights = splits
    for even in range(0, count, 2):
        a = np.uint64(even)
        b = a + _1
        one = load_like(codes, block + columns[a] * lanes, now)
        other = load_like(codes, block + columns[b] * lanes, now)
        moved = move(now, now, one, places[a], cuts[a], lefts[a], rights[a])
        now = move(moved, now, other, places[b], cuts[b], lefts[b], rights[b])
    return now


@part_of_kernel
def _walk(nodes: Array, root: Any, steps: Any, codes: Array, row: Any, place: Array, ends: Array, lanes: Any) -> None:
    """Take ROWS_PER_WALK rows on from their places in a tree, `steps` steps each, and write their nodes to `ends`.

    Parameters
    ----------
    nodes, root
        The tree.
    steps
        Steps to take.
    codes, row, lanes
        Codes of all rows, the index of the first row's first code, and the distance of its codes.
    place
        Position of each row in the tree, (ROWS_PER_WALK,).
    ends
        Receives their nodes, (ROWS_PER_WALK,).
    """
    n0 = root + np.uint64(place[0])
    n1 = root + np.uint64(place[1])
    n2 = root + np.uint64(place[2])
    n3 = root + np.uint64(place[3])
    n4 = root + np.uint64(place[4])
    n5 = root + np.uint64(place[5])
    n6 = root + np.uint64(place[6])
    n7 = root + np.uint64(place[7])
    n8 = root + np.uint64(place[8])
    n9 = root + np.uint64(place[9])
    n10 = root + np.uint64(place[10])
    n11 = root + np.uint64(place[11])
    for _ in range(steps):
        n0 = _step(nodes, codes, row, n0, lanes)
        n1 = _step(nodes, codes, row + np.uint64(1), n1, lanes)
        n2 = _step(nodes, codes, row + np.uint64(2), n2, lanes)
        n3 = _step(nodes, codes, row + np.uint64(3), n3, lanes)
        n4 = _step(nodes, codes, row + np.uint64(4), n4, lanes)
        n5 = _step(nodes, codes, row + np.uint64(5), n5, lanes)
        n6 = _step(nodes, codes, row + np.uint64(6), n6, lanes)
        n7 = _step(nodes, codes, row + np.uint64(7), n7, lanes)
        n8 = _step(nodes, codes, row + np.uint64(8), n8, lanes)
        n9 = _step(nodes, codes, row + np.uint64(9), n9, lanes)
        n10 = _step(nodes, codes, row + np.uint64(10), n10, lanes)
        n11 = _step(nodes, codes, row + np.uint64(11), n11, lanes)
    ends[0] = n0
    ends[1] = n1
    ends[2] = n2
    ends[3] = n3
    ends[4] = n4
    ends[5] = n5
    ends[6] = n6
    ends[7] = n7
    ends[8] = n8
    ends[9] = n9
    ends[10] = n10
    ends[11] = n11


@part_of_kernel
def _list_splits(nodes: Array, root: Any, size: Any, splits: Any) -> Any:
    """List the splits of a tree down to a position that is no byte; return their number, and the levels they fill.

    The number is even: splits 2i and 2i + 1 are never parent and child, so that a sweep can do both at the same time.
    A split that moves no row is put between a parent and its child.

    Parameters
    ----------
    nodes, root, size
        The tree and its number of nodes.
    splits
        Arrays that receive column, cut, position, left child and right child of each split.
    """
    columns, cuts, places, lefts, rights = splits
    count, first_child = _0, _0
    level, level_end, children_end = 0, _1, _0
    node = _0
    while node < size:
        if node == level_end:
            level, level_end = level + 1, children_end
        word = np.uint64(nodes[root + node])
        if not word & _1:
            cut, column, steps = _parts(nodes, word)
            left = node + steps
            if left + _1 >= _NOWHERE:
                break
            children_end = left + _2
            if count & _1 and node >= first_child:
                columns[count], cuts[count], places[count] = 0, 0, _NOWHERE
                count += _1
            if not count & _1:
                first_child = left
            columns[count], cuts[count], places[count] = column, cut, node
            lefts[count], rights[count] = left, left + _1
            count += _1
        node += _1
    if count & _1:
        columns[count], cuts[count], places[count] = 0, 0, _NOWHERE
        count += _1
    return np.int64(count), level + 1 if node == level_end else level


@part_of_kernel
def _add_leaves(values: Array, root: Any, halves: Any, place: Array, lanes: int, sums: Array, row: Any) -> None:
    """Add the leaf values at the places of a block's rows."""
    for lane in range(lanes):
        node = root + np.uint64(place[lane])
        sums[row + np.uint64(lane)] += values[(node + _1) * halves - _1]


@part_of_kernel
def _add_table(values: Array, root: Any, place: Array, lanes: int, sums: Array, row: Any) -> None:
    """Add leaf values as `_add_leaves` does, in a tree whose nodes fit into a vector."""
    entries = load(values, root, 16)
    for part in range(0, lanes, 8):
        at = row + np.uint64(part)
        store(sums, at, add_entries(load(sums, at, 8), entries, load(place, np.uint64(part), 8)))


@inline_kernel
def _sum_leaves(
    nodes: Array,
    values: Array,
    starts: Array,
    depths: Array,
    first: Array,
    codes: Array,
    rows: int,
    out: Array,
    lanes: Any,
    swept: Any,
) -> None:
    """Add up leaf values as `sum_leaves_16` does, with `lanes` rows in a vector, swept through whole trees or not."""
    flat, width, step = codes.ravel(), np.uint64(codes.shape[1] * codes.shape[2]), np.uint64(lanes)
    halves = np.uint64(len(values) // len(nodes))
    last_table = len(nodes) - 16 if halves == _1 else -1  # the last root behind which 16 nodes can be read
    places, lefts, rights = np.empty(256, np.uint8), np.zeros(256, np.uint8), np.zeros(256, np.uint8)
    splits = np.empty(256, np.uint64), np.empty(256, codes.dtype), places, lefts, rights
    place, ends = np.zeros(lanes + ROWS_PER_WALK, np.uint8), np.empty(ROWS_PER_WALK, np.uint64)
    for replica in range(out.shape[0]):
        sums = out[replica]
        for tree in range(first[replica], first[replica + 1]):
            root, depth = np.uint64(starts[tree]), np.int64(depths[tree])
            is_swept_by_level = starts[tree] <= last_table and (depth <= 3 or not swept)
            count, levels = 0, 3 if is_swept_by_level else 0
            if swept and not is_swept_by_level:
                size = np.uint64((starts[tree + 1] if tree + 1 < len(starts) else len(nodes)) - starts[tree])
                count, levels = _list_splits(nodes, root, size, splits)
            for block in range(codes.shape[0]):
                base, row = np.uint64(block) * width, np.uint64(block) * step
                now = fill(np.uint8(0), lanes)
                if count:
                    now = _sweep_splits(flat, base, step, count, splits, now)
                elif is_swept_by_level:
                    now = _sweep_levels(nodes, root, flat, base, step, now)
                store(place, _0, now)
                if is_swept_by_level and depth <= 3:
                    _add_table(values, root, place, lanes, sums, row)
                elif depth <= levels:
                    _add_leaves(values, root, halves, place, lanes, sums, row)
                else:
                    for lane in range(0, min(lanes, rows - block * lanes), ROWS_PER_WALK):
                        _walk(nodes, root, depth - levels, flat, base + np.uint64(lane), place[lane:], ends, step)
                        for k in range(min(ROWS_PER_WALK, lanes - lane)):
                            sums[row + np.uint64(lane + k)] += values[(ends[k] + _1) * halves - _1]


@kernel
def sum_leaves_16(
    nodes: Array,
    values: Array,
    starts: Array,
    depths: Array,
    first: Array,
    codes: Array,
    rows: int,
    out: Array,
) -> None:
    """Add up the leaf values of each replica's trees for each row, in the order of the trees, 16 rows a block.

    Parameters
    ----------
    nodes
        Nodes of all trees, (N,); see `engine.members.node_layout`.
    values
        The nodes read as float32, (N,) or (2N,), valid at leaves: the upper half of a 64-bit node.
    starts
        Root of each tree, (trees,).
    depths
        Steps to the deepest leaf of each tree, (trees,).
    first
        The trees of replica b are first[b] to first[b + 1] - 1, (r + 1,).
    codes
        Codes of the rows by block and column, (blocks, 2f, rows of a block), contiguous; ROWS_PER_WALK more codes
        behind them may be read.
    rows
        Number of rows; those beyond are padding.
    out
        Receives the sums, float64 (r, blocks * rows of a block); zeros before.
    """
    _sum_leaves(nodes, values, starts, depths, first, codes, rows, out, 16, False)


@kernel
def sum_leaves_32(
    nodes: Array,
    values: Array,
    starts: Array,
    depths: Array,
    first: Array,
    codes: Array,
    rows: int,
    out: Array,
) -> None:
    """Add up the leaf values of each replica's trees for each row, in the order of the trees, 32 rows a block."""
    _sum_leaves(nodes, values, starts, depths, first, codes, rows, out, 32, False)


@kernel
def sum_leaves_64(
    nodes: Array,
    values: Array,
    starts: Array,
    depths: Array,
    first: Array,
    codes: Array,
    rows: int,
    out: Array,
) -> None:
    """Add up the leaf values of each replica's trees for each row, in the order of the trees, 64 rows a block."""
    _sum_leaves(nodes, values, starts, depths, first, codes, rows, out, 64, True)


@kernel
def sum_leaves_256(
    nodes: Array,
    values: Array,
    starts: Array,
    depths: Array,
    first: Array,
    codes: Array,
    rows: int,
    out: Array,
) -> None:
    """Add up the leaf values of each replica's trees for each row, in the order of the trees, 256 rows a block."""
    _sum_leaves(nodes, values, starts, depths, first, codes, rows, out, 256, True)
