"""Arrays in pieces: joined along the first axis one after the other, so that nobody has to hold the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.arrays import Array

Arrays = Mapping[str, Array]
"""Arrays by name. Those of a bundle are opened when they are asked for and closed when nobody holds them any more."""


@dataclass(frozen=True, eq=False)
class Pieces:
    """An array of `shape` and `dtype`, made piece by piece when it is walked through."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    makers: Sequence[Callable[[], Array]]

    @classmethod
    def of(cls, makers: Sequence[Callable[[], Array]]) -> Pieces:
        """Join what `makers` make, at least one, all of one dtype; each is called once now and once when walked."""
        heads = [(piece.dtype, piece.shape) for piece in (make() for make in makers)]
        dtype, (_, *rest) = heads[0]
        return cls(dtype, (sum(shape[0] for _, shape in heads), *rest), makers)

    def __iter__(self) -> Iterator[Array]:
        """Make the pieces in order, each when its turn comes."""
        return (make() for make in self.makers)

    def whole(self) -> Array:
        """Return the whole array, in memory."""
        return np.concatenate(list(self))
