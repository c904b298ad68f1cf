"""Arrays in chunks along the first axis, written without holding the whole array in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.arrays import Array

NamedArrays = Mapping[str, Array]
"""Arrays by name. Arrays of a bundle are opened on access and closed when the last reference to them is gone."""


@dataclass(frozen=True, eq=False)
class ChunkedArray:
    """A concatenation of chunks that are loaded one at a time.

    Attributes
    ----------
    dtype
        Data type of all chunks.
    shape
        Shape of the whole array.
    loaders
        Functions that return the chunks, in order.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    loaders: Sequence[Callable[[], Array]]

    @classmethod
    def from_loaders(cls, loaders: Sequence[Callable[[], Array]]) -> ChunkedArray:
        """Concatenate the arrays that `loaders` return, at least one, all of one dtype.

        Each loader is called now for its shape, and again when its chunk is read.
        """
        heads = [(chunk.dtype, chunk.shape) for chunk in (load() for load in loaders)]
        dtype, (_, *rest) = heads[0]
        return cls(dtype, (sum(shape[0] for _, shape in heads), *rest), loaders)

    def __iter__(self) -> Iterator[Array]:
        """Load the chunks in order, one at a time."""
        return (load() for load in self.loaders)

    def to_array(self) -> Array:
        """Return the whole array, in memory."""
        return np.concatenate(list(self))
