"""Array aliases, and the protocol of a fitted member of the ensemble.

Implementations of the protocol: `engine.members.random_forest.FlatForests`,
`engine.members.boosted_trees.FlatBoosters`, `engine.members.neural_network.StackedNetworks`. The prediction for one
replica and one row has the same bits whatever other replicas and rows are predicted in the same call, and however many
threads the process has. Work may therefore be split into batches freely.
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
    """A fitted member of the ensemble in B refits (replicas), numbered from 0."""

    @property
    def n_replicas(self) -> int:
        """Number of replicas, B."""
        ...

    def predict_replicas(self, X: Floats, start: int = 0, stop: int | None = None) -> Floats:
        """Return P(first fighter wins) by replicas start..stop-1, float64 (stop-start, n).

        Parameters
        ----------
        X
            Rows, float64 (n, f); NaN = missing.
        start, stop
            Range of the replicas; all of them by default.
        """
        ...


class ReplicaSet(dict[str, ReplicatedMember]):
    """The replicas of one model by member name.

    Attributes
    ----------
    columns
        Columns that rows must have, in order.
    """

    def __init__(self, members: Mapping[str, ReplicatedMember], columns: Sequence[str]) -> None:
        super().__init__(members)
        self.columns = tuple(columns)


def read_only(array: Array) -> Array:
    """Return a view that cannot be written: kernels are compiled once for it, and not again for a mapped file."""
    view = array.view()
    view.flags.writeable = False
    return view


def check_replica_request(X: Floats, n_features: int, n_replicas: int, start: int, stop: int | None) -> range:
    """Return the requested replicas, after a check of the rows against the member's features.

    Parameters
    ----------
    X
        Rows, float64 (n, f).
    n_features
        Number of features that the member was fitted on.
    n_replicas
        Number of replicas of the member.
    start, stop
        Requested range; `stop` None means all from `start`.

    Raises
    ------
    ValidationError
        If the rows have another width or infinite features.
    BootstrapError
        If a replica in the range does not exist.
    """
    if X.ndim != 2 or X.shape[1] != n_features:
        raise ValidationError(f"expected rows of {n_features} features, got an array of shape {X.shape}")
    if np.isinf(X).any():
        raise ValidationError(f"infinite features in columns {np.flatnonzero(np.isinf(X).any(axis=0)).tolist()}")
    stop = n_replicas if stop is None else stop
    if not 0 <= start < stop <= n_replicas:
        raise BootstrapError(f"replicas {start}..{stop - 1} were requested, but there are {n_replicas} (from 0)")
    return range(start, stop)
