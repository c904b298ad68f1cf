"""The fit of one neural network by scikit-learn, on labels between 0 and 1."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from engine.arrays import Array, Floats
from engine.errors import TrainingError
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

    coefs_: list[Floats]
    intercepts_: list[Floats]

    def _validate_input(self, X: Floats, y: Floats, incremental: bool, reset: bool) -> tuple[Floats, Floats]:
        checked, _ = super()._validate_input(X, y > 0.5, incremental, reset)
        return checked, y[:, None]

    def _fit_stochastic(self, X: Floats, y: Floats, sample_weight: Floats, *others: Any) -> None:
        """Run one epoch of Adam, with the operations of scikit-learn in their order, so with its bits.

        All parameters are one array, which saves most calls of numpy, and no loss is computed: nothing reads it.
        """
        layers = len(self.coefs_)
        if not hasattr(self, "_parameters"):
            self._parameters = np.concatenate([array.ravel() for array in (*self.coefs_, *self.intercepts_)])
            self._moments, self._steps = np.zeros((2, len(self._parameters))), 0
            self.coefs_, self.intercepts_ = self._split(self._parameters)
        gradient, change = np.empty_like(self._parameters), np.empty_like(self._parameters)
        coefs, intercepts = self._split(gradient)
        order = np.arange(len(X))
        self._random_state.shuffle(order)
        for start in range(0, len(X), self.batch_size):
            rows = order[start : start + self.batch_size]
            signals, weight = [X[rows]], sample_weight[rows]
            for depth in range(layers):
                signals.append(signals[depth] @ self.coefs_[depth])
                signals[-1] += self.intercepts_[depth]
                if depth < layers - 1:
                    np.maximum(signals[-1], 0, out=signals[-1])
            expit(signals[-1], out=signals[-1])
            total = weight.sum()
            delta = (signals[-1] - y[rows]) * weight[:, None]
            for depth in reversed(range(layers)):
                np.matmul(signals[depth].T, delta, out=coefs[depth])
                coefs[depth] += self.alpha * self.coefs_[depth]
                coefs[depth] /= total
                np.divide(np.sum(delta, axis=0), total, out=intercepts[depth])
                if depth:
                    delta = delta @ self.coefs_[depth].T
                    delta[signals[depth] == 0] = 0
            self._update(gradient, change)

    def _update(self, gradient: Floats, change: Floats) -> None:
        """Take one step of Adam (Kingma and Ba 2014); both arguments are overwritten."""
        self._steps += 1
        first, second = self._moments
        first *= self.beta_1
        first += np.multiply(1 - self.beta_1, gradient, out=change)
        second *= self.beta_2
        np.square(gradient, out=gradient)
        second += np.multiply(1 - self.beta_2, gradient, out=gradient)
        rate = self.learning_rate_init * np.sqrt(1 - self.beta_2**self._steps) / (1 - self.beta_1**self._steps)
        np.multiply(-rate, first, out=change)
        change /= np.add(np.sqrt(second, out=gradient), self.epsilon, out=gradient)
        self._parameters += change

    def _split(self, parameters: Floats) -> tuple[list[Floats], list[Floats]]:
        """Return views of the weights and the biases of each layer in one array of all parameters."""
        shapes = [array.shape for array in (*self.coefs_, *self.intercepts_)]
        ends = np.cumsum([math.prod(shape) for shape in shapes])
        parts = [part.reshape(shape) for part, shape in zip(np.split(parameters, ends[:-1]), shapes, strict=True)]
        return parts[: len(self.coefs_)], parts[len(self.coefs_) :]


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
