"""The fit of one neural network, with the operations of scikit-learn in their order, on labels between 0 and 1.

The result has the bits of scikit-learn's `SimpleImputer(strategy="median")`, `StandardScaler` and `MLPClassifier`,
which cannot learn from such labels, and which 60 MB of libraries would be loaded for. Matrix products are numpy's, on
one thread; what is done number by number is compiled (`engine.compilation`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.special import expit

from engine.arrays import Array, Floats
from engine.compilation import kernel
from engine.errors import TrainingError
from engine.members.neural_network import StackedNetworks
from engine.resources.blas_threads import one_blas_thread

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-8  # of Adam, as in scikit-learn


@dataclass(frozen=True)
class NetworkParams:
    """Hyperparameters of a network; names are scikit-learn's if the meaning is the same."""

    hidden: tuple[int, ...] = (64, 32)
    epochs: int = 5
    alpha: float = 1e-2
    batch_size: int = 200
    learning_rate: float = 1e-3


def fit_network(
    X: Floats, won: Array, sample_weight: Floats | None, params: NetworkParams, seed: int
) -> StackedNetworks:
    """Fit median imputation, scaling and one network; return it as a set of one replica.

    The number of epochs is fixed: early stopping on a random validation split leaks if rows are repeated, and a
    weighted row is a repeated one. Rows of weight 0 are ignored; medians ignore the size of the weights.

    Parameters
    ----------
    X
        Rows, float64 (n, f); NaN = missing.
    won
        Result of the first fighter in [0, 1], (n,).
    sample_weight
        Weights, (n,); None for equal ones. Whole numbers give scikit-learn's bits.
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
    rows, labels, weight = X[used], np.asarray(won, dtype=np.float64)[used, None], weight[used]
    medians = _medians(rows)
    np.copyto(rows, medians, where=np.isnan(rows))
    with one_blas_thread():
        means, scales = _means_and_scales(rows, weight)
        rows -= means
        rows /= scales
        random = np.random.RandomState(seed)
        network = _Network.initialize((rows.shape[1], *params.hidden, 1), random)
        order = random.permutation(len(rows))
        for epoch in range(params.epochs):
            network.run_epoch(rows, labels, weight, order, params)
            if not np.isfinite(network.parameters).all():
                raise TrainingError(
                    f"the network diverged, with learning_rate {params.learning_rate}: its weights are no longer "
                    f"finite after epoch {epoch + 1} of {params.epochs}"
                )
            if epoch == 0:  # each later `partial_fit` of scikit-learn begins with the seed again
                order = np.random.RandomState(seed).permutation(len(rows))
    return StackedNetworks(
        medians=medians[None],
        means=means[None],
        scales=scales[None],
        weights=tuple(matrix[None] for matrix in network.weights),
        biases=tuple(vector[None, None] for vector in network.biases),
    )


def _medians(rows: Floats) -> Floats:
    """Return the median of the known values of each column, (f,); 0 if there are none."""
    known = (column[~np.isnan(column)] for column in rows.T)
    return np.array([np.median(values) if len(values) else 0.0 for values in known])


def _means_and_scales(rows: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Return mean and standard deviation of each column, (f,), weighted; the deviation is 1 for a constant.

    The two-pass algorithm of Chan, Golub and LeVeque (1983), with its bound on what rounding leaves of a constant.
    """
    total = weight.sum()
    means = (weight @ rows) / total
    deviations = rows - means
    correction = weight @ deviations
    deviations **= 2
    variances = (weight @ deviations - correction**2 / total) / total
    rounding = np.finfo(np.float64).eps
    is_constant = variances <= total * rounding * variances + (total * means * rounding) ** 2
    scales = np.sqrt(variances)
    scales[is_constant] = 1.0
    return means, scales


class _Network:
    """A network in training.

    All parameters are one array, first the weights and then the biases, which saves most calls of numpy. No loss is
    computed: nothing reads it.
    """

    def __init__(self, weights: list[Floats], biases: list[Floats]) -> None:
        self._shapes = [array.shape for array in (*weights, *biases)]
        self._n_weights = sum(array.size for array in weights)
        self.parameters = np.concatenate([array.ravel() for array in (*weights, *biases)])
        self.weights, self.biases = self._split(self.parameters)
        self._gradient = np.empty_like(self.parameters)
        self._weight_gradients, self._bias_gradients = self._split(self._gradient)
        self._moments, self._steps = np.zeros((2, len(self.parameters))), 0

    @classmethod
    def initialize(cls, layers: tuple[int, ...], random: np.random.RandomState) -> _Network:
        """Return a network with these sizes of layers and the random parameters of Glorot and Bengio (2010)."""
        weights, biases = [], []
        for inputs, outputs in pairwise(layers):
            bound = np.sqrt(6.0 / (inputs + outputs))
            weights.append(random.uniform(-bound, bound, (inputs, outputs)))
            biases.append(random.uniform(-bound, bound, outputs))
        return cls(weights, biases)

    def run_epoch(self, rows: Floats, labels: Floats, weight: Floats, order: Array, params: NetworkParams) -> None:
        """Run one epoch on scaled rows (n, f), with labels (n, 1) and weights (n,), in an order of the rows (n,)."""
        last = len(self.weights) - 1
        for start in range(0, len(order), params.batch_size):
            batch = order[start : start + params.batch_size]
            signals, counts = [rows.take(batch, axis=0)], weight[batch]
            for depth, matrix in enumerate(self.weights):
                signals.append(signals[depth] @ matrix)
                if depth < last:
                    _add_and_rectify(signals[-1], self.biases[depth])
            signals[-1] += self.biases[-1]
            delta = (expit(signals[-1], out=signals[-1]) - labels[batch]) * counts[:, None]
            for depth in range(last, -1, -1):
                np.matmul(signals[depth].T, delta, out=self._weight_gradients[depth])
                np.sum(delta, axis=0, out=self._bias_gradients[depth])
                if depth:
                    delta = delta @ self.weights[depth].T
                    _zero_where_zero(delta, signals[depth])
            self._steps += 1
            rate = params.learning_rate * np.sqrt(1 - _BETA_2**self._steps) / (1 - _BETA_1**self._steps)
            _step(self.parameters, self._gradient, self._moments, self._n_weights, params.alpha, counts.sum(), rate)

    def _split(self, parameters: Floats) -> tuple[list[Floats], list[Floats]]:
        """Return views of the weights and the biases of each layer in one array of all parameters."""
        ends = np.cumsum([math.prod(shape) for shape in self._shapes])
        parts = np.split(parameters, ends[:-1])
        views = [part.reshape(shape) for part, shape in zip(parts, self._shapes, strict=True)]
        return views[: len(views) // 2], views[len(views) // 2 :]


@kernel
def _add_and_rectify(signal: Array, bias: Array) -> None:
    """Add the biases (units,) to a layer's sums (n, units), and replace negative ones by 0; NaN stays."""
    for row in range(signal.shape[0]):
        for unit in range(signal.shape[1]):
            value = signal[row, unit] + bias[unit]
            signal[row, unit] = 0.0 if value < 0.0 else value


@kernel
def _zero_where_zero(delta: Array, signal: Array) -> None:
    """Replace by 0 what comes back, (n, units), to units whose signal is 0."""
    for row in range(delta.shape[0]):
        for unit in range(delta.shape[1]):
            if signal[row, unit] == 0.0:
                delta[row, unit] = 0.0


@kernel
def _step(
    parameters: Array, gradient: Array, moments: Array, n_weights: int, alpha: float, total: float, rate: float
) -> None:
    """Take one step of Adam (Kingma and Ba 2014).

    Parameters
    ----------
    parameters
        Weights, then biases, (p,).
    gradient
        Sums of the gradient over the rows of a batch, without the penalty, (p,); then with it.
    moments
        First and second moment of the gradient, (2, p).
    n_weights
        Number of the weights.
    alpha
        Strength of the penalty on weights.
    total
        Sum of the rows' weights.
    rate
        Learning rate, corrected for the first steps.
    """
    first, second = moments[0], moments[1]
    for k in range(n_weights):
        gradient[k] += alpha * parameters[k]
    for k in range(len(parameters)):
        slope = gradient[k] / total
        first[k] = first[k] * _BETA_1 + (1 - _BETA_1) * slope
        second[k] = second[k] * _BETA_2 + (1 - _BETA_2) * (slope * slope)
        parameters[k] += -rate * first[k] / (np.sqrt(second[k]) + _EPSILON)
