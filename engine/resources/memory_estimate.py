"""How much memory a training or an answer takes at its peak, from its sizes alone; in MiB of 2**20 bytes.

Each estimate is a sum of a few terms, one for each thing that the work holds at its peak, times a coefficient. What a
term counts follows from the code; the coefficients were measured: `python -m benchmarks.memory.estimate` runs a grid of
sizes, each in a fresh process, prints the estimates beside the peaks, and fits the coefficients anew with `--fit`.
An estimate is what the work adds to a process that has imported the engine and done nothing yet.
"""

from __future__ import annotations

from dataclasses import dataclass

_LEAVES_AT_DEPTH = 1024  # of the trees of depth 10 that forests are made of
_ROWS_A_LEAF = 20.0  # leaves hold at least ten rows, and about twice as many on average


@dataclass(frozen=True, slots=True)
class TrainingSize:
    """What a training's memory depends on.

    fights: rows of the matrix. columns: its features. replicas: bootstrap refits of `replica_trees` trees. fits: refits
    of `point_trees` trees, those of the folds included. threads: refits at the same time.
    """

    fights: int
    columns: int
    replicas: int
    fits: int
    point_trees: int
    replica_trees: int
    threads: int


@dataclass(frozen=True, slots=True)
class AnswerSize:
    """What an answer's memory depends on: its fights, the replicas it asks, and the model that it may have to open.

    bundle_mb: size of the model's files.
    """

    fights: int
    replicas: int
    bundle_mb: float


# As `python -m benchmarks.memory.estimate --fit` printed them, in the order of `training_terms` and `answer_terms`.
TRAINING_COEFFICIENTS = (67.1, 0.0049, 5.18e-05, 1.44e-05, 0.102)
ANSWER_COEFFICIENTS = (53.4, 0.932, 8.46e-05)


def training_terms(size: TrainingSize) -> tuple[float, ...]:
    """What a training holds: libraries at work, each thread's rows and values, the trees, the refits."""
    leaves = min(_LEAVES_AT_DEPTH, 2 * size.fights / _ROWS_A_LEAF)
    trees = size.replicas * size.replica_trees + size.fits * size.point_trees
    rows = size.fights * size.threads
    return 1.0, rows, rows * size.columns, trees * leaves, size.replicas + size.fits


def answer_terms(size: AnswerSize) -> tuple[float, ...]:
    """What an answer holds: libraries at work, the opened model, the replicas' answers."""
    return 1.0, size.bundle_mb, 2 * size.fights * size.replicas


def training_mb(size: TrainingSize) -> float:
    """Return what a training adds to its process at its peak."""
    return _sum(training_terms(size), TRAINING_COEFFICIENTS)


def answer_mb(size: AnswerSize) -> float:
    """Return what an answer adds to its process at its peak."""
    return _sum(answer_terms(size), ANSWER_COEFFICIENTS)


def _sum(terms: tuple[float, ...], coefficients: tuple[float, ...]) -> float:
    return sum(term * coefficient for term, coefficient in zip(terms, coefficients, strict=True))
