"""Neural networks: fitted by scikit-learn, predicted from stacked matrices.

All replicas of a layer are one array, so that a few rows cost one loop instead of a pipeline for each replica. The bits
of a matrix product depend on its shape and on the threads of the linear algebra library. Prediction therefore uses
loops in which every sum has one order (`engine.members.kernels`), and training limits the library to one thread. Covers
binary networks with ReLU layers; tuning and resampling are left to the caller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from engine.arrays import Array, Floats, check_replica_request
from engine.errors import TrainingError, ValidationError
from engine.members import kernels
from engine.resources.blas_threads import one_blas_thread


@dataclass(frozen=True)
class NetworkParams:
    """Hyperparameters of a network; names are scikit-learn's if the meaning is the same."""

    hidden: tuple[int, ...] = (64, 32)
    epochs: int = 5
    alpha: float = 1e-2
    batch_size: int = 200
    learning_rate: float = 1e-3


class _SoftLabelClassifier(MLPClassifier):  # type: ignore[misc] # its types are not followed
    """A network that learns from labels between 0 and 1.

    scikit-learn's loss and gradient accept such labels, its check of labels does not. Two rows for each label, weighted
    by their shares, would give the same network in twice the time. A version of scikit-learn that no longer calls this
    check refuses such labels, so training stops; it does not train on something else.
    """

    def _validate_input(self, X: Floats, y: Floats, incremental: bool, reset: bool) -> tuple[Floats, Floats]:
        checked, _ = super()._validate_input(X, y > 0.5, incremental, reset)
        return checked, y[:, None]


def fit_network(X: Floats, won: Array, sample_weight: Floats | None, params: NetworkParams, seed: int) -> Pipeline:
    """Fit median imputation, scaling and one network.

    The number of epochs is fixed: early stopping on a random validation split leaks if rows are repeated, and a
    weighted row is a repeated one. An epoch is one `partial_fit`, which requires no convergence and gives no warning
    about it. Rows of weight 0 are ignored; medians ignore the size of the weights.

    Parameters
    ----------
    X
        Rows, float64 (n, f); NaN = missing.
    won
        Result of the first fighter in [0, 1], (n,).
    sample_weight
        Weights, (n,); None for equal ones.
    params
        Hyperparameters.
    seed
        Seed of the initial weights and of the order of rows.

    Raises
    ------
    TrainingError
        If the training diverges.
    """
    weight = np.ones(len(won)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    used = weight > 0
    X, won, weight = X[used], np.asarray(won, dtype=np.float64)[used], weight[used]
    imputer = _median_imputer(X)
    np.copyto(X, imputer.statistics_, where=np.isnan(X))
    scaler = StandardScaler(copy=False)  # `X` is a copy already, and several threads do this at the same time
    network = _SoftLabelClassifier(
        hidden_layer_sizes=params.hidden,
        alpha=params.alpha,
        batch_size=min(params.batch_size, len(won)),
        learning_rate_init=params.learning_rate,
        random_state=seed,
    )
    try:
        with one_blas_thread():
            rows = scaler.fit_transform(X, sample_weight=weight)
            for _ in range(params.epochs):
                network.partial_fit(rows, won, sample_weight=weight, classes=[0, 1])
    except ValueError as error:  # weights that are no longer finite
        raise TrainingError(f"the network diverged, with learning_rate {params.learning_rate}: {error}") from error
    return Pipeline([("impute", imputer), ("scale", scaler.set_params(copy=True)), ("network", network)])


def _median_imputer(X: Floats) -> SimpleImputer:
    """Return the imputer of X, fitted column by column: its own `fit` makes four copies of X."""
    known = (column[~np.isnan(column)] for column in X.T)
    medians = np.array([np.median(values) if len(values) else np.nan for values in known])
    return SimpleImputer(strategy="median", keep_empty_features=True).fit(medians[None])


@dataclass(frozen=True)
class StackedNetworks:
    """B pipelines of median imputation, scaling and a ReLU network of L layers, stacked by replica."""

    medians: Floats  # (B, f) replacements of missing features
    means: Floats  # (B, f)
    scales: Floats  # (B, f)
    weights: tuple[Floats, ...]  # L arrays (B, inputs, outputs)
    biases: tuple[Floats, ...]  # L arrays (B, 1, outputs)

    @classmethod
    def from_pipeline(cls, model: Pipeline) -> StackedNetworks:
        """Convert one pipeline of `fit_network` to a set of one replica."""
        imputer, scaler, network = (step for _, step in model.steps)
        return replace(
            cls.from_classifier(network),
            medians=imputer.statistics_[None],
            means=scaler.mean_[None],
            scales=scaler.scale_[None],
        )

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

        Within 1e-9 of the pipelines' `predict_proba(X)[:, 1]`. Temporary memory is that of 64 rows of every layer.

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
        kernels.run_networks(
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
