"""One training, or one set of loaded models, in a process of its own that imports only what it needs.

python -m benchmarks.engine.subprocesses naive|ours|hold FOLDER REPLICAS
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.intervals.simulated_worlds import World

REPLICAS = 100
FIGHTS = 6_000
NAIVE_REPLICAS = 4
"""Number of replicas that the naive way trains; more are loaded from the same files."""


def world() -> World:
    """Return the simulated world of the engine benchmarks, with 70 features."""
    from benchmarks.intervals.simulated_worlds import draw_world

    return draw_world(1, 0, FIGHTS)


def naive(folder: Path, replicas: int) -> None:
    """Train the naive way and write its files."""
    from benchmarks.engine import naive_engine

    naive_engine.save(naive_engine.train(world().train, replicas, jobs=2), folder)


def ours(folder: Path, replicas: int) -> None:
    """Train our way, with the libraries that a child of a pool has loaded, and write the bundle."""
    from workers.jobs.registry import HANDLERS, import_handler

    import_handler("train_part", HANDLERS)
    from engine.training.train import TrainingConfig, train_bundle

    config = replace(TrainingConfig(), bootstrap_samples=replicas, fits=1, folds=3, n_jobs=2)
    train_bundle(folder, world().train, config)


def hold(folder: Path, replicas: int) -> None:
    """Load naive replicas and hold them in memory."""
    from benchmarks.engine import naive_engine

    print(len(naive_engine.load(folder, NAIVE_REPLICAS, replicas)))


if __name__ == "__main__":
    {"naive": naive, "ours": ours, "hold": hold}[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))
