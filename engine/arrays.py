"""What every member of the ensemble can do once it is fitted: predict with each of its replicas.

Three implementations: `engine.members.random_forest.FlatForests`, `engine.members.boosted_trees.FlatBoosters`,
`engine.members.neural_network.StackedNetworks`. Each keeps this promise: the number for one replica and one row has the
same bits whatever other replicas and rows are predicted in the same call, and however many threads the process has. So
work may be cut into batches freely.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from engine.errors import BootstrapError, ValidationError

Array = NDArray[Any]
Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


@runtime_checkable
class ReplicatedMember(Protocol):
    """A member of the ensemble in B refits (replicas), numbered from 0."""

    @property
    def n_replicas(self) -> int:
        """B, the number of refits."""
        ...

    def predict_replicas(self, X: Floats, start: int = 0, stop: int | None = None) -> Floats:
        """P(first fighter wins) by replicas start..stop-1 for rows X (n, f; NaN = missing): float64 (stop-start, n)."""
        ...


class ReplicaSet(dict[str, ReplicatedMember]):
    """The replicas of one model by member name, and the columns, in order, that their rows must have."""

    def __init__(self, members: Mapping[str, ReplicatedMember], columns: Sequence[str]) -> None:
        super().__init__(members)
        self.columns = tuple(columns)


def check_request(X: Floats, n_features: int, n_replicas: int, start: int, stop: int | None) -> range:
    """The replicas asked for, after checking that the rows fit what the member was fitted on.

    Raises ValidationError for rows of another width or with infinite features, BootstrapError for replicas that do
    not exist.
    """
    if X.ndim != 2 or X.shape[1] != n_features:
        raise ValidationError(f"expected rows of {n_features} features, got an array of shape {X.shape}")
    if np.isinf(X).any():
        raise ValidationError(f"infinite features in columns {np.flatnonzero(np.isinf(X).any(axis=0)).tolist()}")
    stop = n_replicas if stop is None else stop
    if not 0 <= start < stop <= n_replicas:
        raise BootstrapError(f"replicas {start}..{stop - 1} were asked for, but there are {n_replicas} (from 0)")
    return range(start, stop)
