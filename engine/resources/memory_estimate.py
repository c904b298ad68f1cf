"""Peak memory of a training or a prediction, estimated from its sizes; in MiB of 2**20 bytes.

Each estimate is a sum of terms, one for each kind of data held at the peak, times coefficients. The terms follow from
the code. The coefficients were measured: `python -m benchmarks.memory.estimate` runs a grid of sizes, each in a new
process, prints estimates next to measured peaks, and with `--fit` fits the coefficients. An estimate is the memory
added to a process that has imported the engine and done nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

_LEAVES_AT_DEPTH = 1024  # leaves of a tree of depth 10, the default of forests
_ROWS_A_LEAF = 20.0  # the mean; a leaf has at least ten rows


@dataclass(frozen=True, slots=True)
class TrainingSize:
    """Sizes that determine the memory of a training.

    Attributes
    ----------
    fights
        Rows of the matrix.
    columns
        Features of the matrix.
    replicas
        Bootstrap refits, with `replica_trees` trees each.
    fits
        Refits with `point_trees` trees each, those of the folds included.
    point_trees, replica_trees
        Trees of one refit.
    threads
        Refits that run at the same time.
    """

    fights: int
    columns: int
    replicas: int
    fits: int
    point_trees: int
    replica_trees: int
    threads: int


@dataclass(frozen=True, slots=True)
class PredictionSize:
    """Sizes that determine the memory of a prediction.

    Attributes
    ----------
    fights
        Fights that are predicted together.
    replicas
        Replicas that predict them.
    bundle_mb
        Size of the model's files, which may have to be opened, in MiB.
    """

    fights: int
    replicas: int
    bundle_mb: float


# As `python -m benchmarks.memory.estimate --fit` printed them, in the order of `training_terms` and `prediction_terms`.
TRAINING_COEFFICIENTS = (83.8, 0.0, 3.11e-06, 2.64e-05, 0.102)
PREDICTION_COEFFICIENTS = (17.8, 0.956, 8.84e-05)


def training_terms(size: TrainingSize) -> tuple[float, ...]:
    """Return the terms of a training: libraries, rows and values of each thread, trees, refits."""
    leaves = min(_LEAVES_AT_DEPTH, 2 * size.fights / _ROWS_A_LEAF)
    trees = size.replicas * size.replica_trees + size.fits * size.point_trees
    rows = size.fights * size.threads
    return 1.0, rows, rows * size.columns, trees * leaves, size.replicas + size.fits


def prediction_terms(size: PredictionSize) -> tuple[float, ...]:
    """Return the terms of a prediction: libraries, the opened model, the replicas' predictions."""
    return 1.0, size.bundle_mb, 2 * size.fights * size.replicas


def training_mb(size: TrainingSize) -> float:
    """Return the peak memory that a training adds to its process, in MiB."""
    return _sum(training_terms(size), TRAINING_COEFFICIENTS)


def prediction_mb(size: PredictionSize) -> float:
    """Return the peak memory that a prediction adds to its process, in MiB."""
    return _sum(prediction_terms(size), PREDICTION_COEFFICIENTS)


def _sum(terms: tuple[float, ...], coefficients: tuple[float, ...]) -> float:
    return sum(term * coefficient for term, coefficient in zip(terms, coefficients, strict=True))
