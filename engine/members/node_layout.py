"""The layout of a tree's node, an unsigned word of 32 bits if they are enough and of 64 otherwise.

    bits    32-bit word           64-bit word
    0       0: inner, 1: leaf     the same
    1-      8: index of cut       16: index of cut         go right if the code of the column is above it
    -       10: column            15: column               doubled: see `engine.members.feature_bins.BinEdges.encode`
    -       13: steps to left     32: steps to left        the right child follows the left one
    leaf    float32 value, whose last bit is used as the flag; in a 64-bit word, all of its upper half

The lost bit moves a leaf value by at most 1.2e-7 of itself, towards 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np


class NodeLayout(NamedTuple):
    """The number of bits for each part of a node."""

    cut_bits: int
    column_bits: int

    @property
    def offset_shift(self) -> int:
        """First bit of the steps to the left child."""
        return 1 + self.cut_bits + self.column_bits

    def masks_and_shifts(self) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
        """Return the masks and shifts, as kernels take them."""
        return (
            np.uint64((1 << self.cut_bits) - 1),
            np.uint64(1 + self.cut_bits),
            np.uint64((1 << self.column_bits) - 1),
            np.uint64(self.offset_shift),
        )


NARROW, WIDE = NodeLayout(8, 10), NodeLayout(16, 15)
NODE_LAYOUTS: Mapping[np.dtype[np.unsignedinteger], NodeLayout] = {
    np.dtype(np.uint32): NARROW,
    np.dtype(np.uint64): WIDE,
}
