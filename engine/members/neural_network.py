"""Neural networks (fitted by `engine.members.network_fit` or imported), predicted from stacked matrices.

All replicas of a layer are one array, so that a few rows cost one loop instead of a pipeline for each replica. The bits
of a matrix product depend on its shape and on the threads of the linear algebra library. Prediction therefore uses
loops in which every sum has one order (`engine.members.network_kernels`), and training limits the library to one
thread. Covers binary networks with ReLU layers; tuning and resampling are left to the caller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit

from engine.arrays import Array, Floats, check_replica_request, read_only
from engine.errors import ValidationError
from engine.members import network_kernels

if TYPE_CHECKING:
    from sklearn.neural_network import MLPClassifier


@dataclass(frozen=True)
class StackedNetworks:
    """B pipelines of median imputation, scaling and a ReLU network of L layers, stacked by replica."""

    medians: Floats  # (B, f) replacements of missing features
    means: Floats  # (B, f)
    scales: Floats  # (B, f)
    weights: tuple[Floats, ...]  # L arrays (B, inputs, outputs)
    biases: tuple[Floats, ...]  # L arrays (B, 1, outputs)

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        for name in ("medians", "means", "scales"):
            object.__setattr__(self, name, read_only(getattr(self, name)))
        for name in ("weights", "biases"):
            object.__setattr__(self, name, tuple(map(read_only, getattr(self, name))))

    @classmethod
    def from_classifier(cls, network: MLPClassifier) -> StackedNetworks:
        """Convert one network without imputation and scaling. Raises ValidationError if it is of another kind."""
        if (network.activation, network.out_activation_) != ("relu", "logistic"):
            raise ValidationError(
                "only binary networks with ReLU layers can be stacked, this one has "
                f"{network.activation} layers and {network.out_activation_} output"
            )
        width = len(network.coefs_[0])
        return cls(
            medians=np.zeros((1, width)),
            means=np.zeros((1, width)),
            scales=np.ones((1, width)),
            weights=tuple(matrix[None] for matrix in network.coefs_),
            biases=tuple(vector[None, None] for vector in network.intercepts_),
        )

    @classmethod
    def concatenate(cls, sequence: Sequence[StackedNetworks]) -> StackedNetworks:
        """Return the replicas of all sets, in order. Raises ValidationError if the sizes of their layers differ."""
        shapes = {tuple(matrix.shape[1:] for matrix in networks.weights) for networks in sequence}
        if len(shapes) != 1:
            raise ValidationError(f"networks to join must agree in their layers, got {sorted(shapes)}")
        parts = [networks.to_arrays() for networks in sequence]
        return cls.from_arrays({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})

    @property
    def n_replicas(self) -> int:
        """Number of networks, B."""
        return len(self.medians)

    def predict_replicas(self, X: Floats, start: int = 0, stop: int | None = None) -> Floats:
        """Return P(first fighter wins) by networks start..stop-1, float64 (stop-start, n).

        Within 1e-9 of scikit-learn's `predict_proba(X)[:, 1]`. Temporary memory is that of 64 rows of every layer.

        Parameters
        ----------
        X
            Rows, float64 (n, f); NaN = missing.
        start, stop
            Range of the networks; all of them by default.
        """
        replicas = check_replica_request(X, self.medians.shape[1], self.n_replicas, start, stop)
        some = slice(replicas.start, replicas.stop)
        logits = np.empty((len(replicas), len(X)))
        network_kernels.run_networks(
            np.ascontiguousarray(X),
            # A copy: the kernel reads medians by masked loads, only for missing values. On a memory-mapped page that
            # has not been read yet, each of these loads costs about as much as a page fault.
            np.array(self.medians[some]),
            self.means[some],
            self.scales[some],
            tuple((matrix[some], bias[some]) for matrix, bias in zip(self.weights, self.biases, strict=True)),
            logits,
        )
        return np.asarray(expit(logits))

    def to_arrays(self) -> dict[str, Array]:
        """Return the arrays by name, as `from_arrays` takes them."""
        layers = {f"weights_{k}": matrix for k, matrix in enumerate(self.weights)}
        layers |= {f"biases_{k}": vector for k, vector in enumerate(self.biases)}
        return {"medians": self.medians, "means": self.means, "scales": self.scales} | layers

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> StackedNetworks:
        """Return the networks of these arrays, which may be read-only memory maps: nothing is copied."""
        depth = sum(name.startswith("weights_") for name in arrays)
        return cls(
            medians=np.asarray(arrays["medians"]),
            means=np.asarray(arrays["means"]),
            scales=np.asarray(arrays["scales"]),
            weights=tuple(np.asarray(arrays[f"weights_{k}"]) for k in range(depth)),
            biases=tuple(np.asarray(arrays[f"biases_{k}"]) for k in range(depth)),
        )
