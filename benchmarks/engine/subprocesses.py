"""One training, or one holding of models, in a process of its own, which loads only what that way needs.

python -m benchmarks.engine.subprocesses naive|ours|hold FOLDER REPLICAS
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from benchmarks.intervals.simulated_worlds import World, draw_world

REPLICAS = 100
FIGHTS = 6_000
NAIVE_REPLICAS = 4
"""How many the naive way trains; for more they are read over again."""


def world() -> World:
    """Return the fights, 70 features each: always the same."""
    return draw_world(1, 0, FIGHTS)


def naive(folder: Path, replicas: int) -> None:
    """Train the naive way and keep the files."""
    from benchmarks.engine import naive_engine

    naive_engine.save(naive_engine.train(world().train, replicas, jobs=2), folder)


def ours(folder: Path, replicas: int) -> None:
    """Train our way and keep the bundle."""
    from engine.training.train import TrainingConfig, train_bundle

    config = replace(TrainingConfig(), bootstrap_samples=replicas, fits=1, folds=3, n_jobs=2)
    train_bundle(folder, world().train, config)


def hold(folder: Path, replicas: int) -> None:
    """Hold so many naive replicas in memory."""
    from benchmarks.engine import naive_engine

    print(len(naive_engine.load(folder, NAIVE_REPLICAS, replicas)))


if __name__ == "__main__":
    {"naive": naive, "ours": ours, "hold": hold}[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))
