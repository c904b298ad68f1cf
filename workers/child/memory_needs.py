"""Memory estimates of jobs before they start: from the sizes of their data and model, by the engine's formula."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from msgspec import Struct

from engine.resources.memory_estimate import PredictionSize, TrainingSize, prediction_mb, training_mb
from ledger.contracts.controls import Controls
from ledger.contracts.jobs import JobPart, MatrixColumns, PredictCard, TrainEnsemble, TrainingPlan
from ledger.dataset_files import TABLES, table_file
from workers.jobs.operator_overrides import limit_threads, select_replicas
from workers.settings import WorkerSettings

_MIB = 2**20


@dataclass(frozen=True)
class MemoryEstimate:
    """The memory that a job is estimated to add to its child, in MiB.

    `number` of `unit` is the size that the caller could reduce: `growth_of` returns the memory for another number.
    """

    what: str
    unit: str
    number: int
    growth_of: Callable[[int], float]

    @property
    def growth_mb(self) -> float:
        """The estimate for the job as it is."""
        return self.growth_of(self.number)

    def largest_fitting(self, allowed_mb: float) -> int:
        """Return the largest number that fits into `allowed_mb`, 0 if not even one does."""
        low, high = 0, self.number
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.growth_of(middle) <= allowed_mb else (low, middle - 1)
        return low


def estimate_training(plan: TrainingPlan, settings: WorkerSettings, controls: Controls) -> MemoryEstimate:
    """Return the estimate of a training or a backtest. Raises OSError and ValueError if its data cannot be read."""
    size = training_size(plan, limit_threads(controls, settings.training_threads))
    what = f"training on {size.fights:,} fights of {size.columns} columns with {size.replicas} replicas"
    unit = "part_refits" if isinstance(plan, TrainEnsemble) else "bootstrap_samples"
    return MemoryEstimate(f"{what} in memory", unit, size.replicas, lambda b: training_mb(replace(size, replicas=b)))


def estimate_part(part: JobPart, settings: WorkerSettings, controls: Controls) -> MemoryEstimate:
    """Return the estimate of a part of a training or a backtest."""
    size = TrainingSize(
        fights=part.fights,
        columns=part.columns,
        replicas=part.replicas,
        fits=part.fits,
        point_trees=part.trees,
        replica_trees=part.replica_trees,
        threads=limit_threads(controls, settings.training_threads),
    )
    what = f"part {part.name} of training on {size.fights:,} fights of {size.columns} columns"
    return MemoryEstimate(
        what, "part_refits", max(size.replicas, size.fits), lambda n: training_mb(_with_refits(size, n))
    )


def _with_refits(size: TrainingSize, n: int) -> TrainingSize:
    return replace(size, replicas=min(n, size.replicas), fits=min(n, size.fits))


def estimate_card(job: PredictCard, model: Path, controls: Controls) -> MemoryEstimate:
    """Return the estimate of a card in a child that has yet to open the model. Raises OSError if there is none."""
    size = answer_size(job, model, controls)
    what = f"answering {size.fights} fights with a model of {size.bundle_mb:.0f} MB"
    return MemoryEstimate(what, "fights", size.fights, lambda fights: prediction_mb(replace(size, fights=fights)))


def training_size(plan: TrainingPlan, n_threads: int) -> TrainingSize:
    """Return the sizes that a training's memory depends on. Raises OSError and ValueError for unreadable data."""
    fights, columns = _log_sizes(Path(plan.data)) if plan.matrix is None else _matrix_sizes(plan)
    return TrainingSize(
        fights=fights,
        columns=columns,
        # A training writes the replicas of its model part by part; a backtest holds all of them.
        replicas=min(plan.part_refits, plan.bootstrap_samples)
        if isinstance(plan, TrainEnsemble)
        else plan.bootstrap_samples,
        fits=plan.fits + plan.folds,
        point_trees=plan.forest_trees,
        replica_trees=plan.replica_forest_trees,
        threads=n_threads,
    )


def answer_size(job: PredictCard, model: Path, controls: Controls) -> PredictionSize:
    """Return the sizes that an answer's memory depends on. Raises OSError and ValueError if there is no such model."""
    about = msgspec.json.decode((model / "manifest.json").read_bytes(), type=_Manifest).about
    replicas = select_replicas(controls, job.intervals.bootstrap_samples, about.bootstrap_samples).replicas
    bundle_mb = sum(path.stat().st_size for path in model.rglob("*") if path.is_file()) / _MIB
    return PredictionSize(len(job.fights), replicas, bundle_mb)


class _About(Struct):
    bootstrap_samples: int


class _Manifest(Struct):
    """The fields that are read from a bundle's manifest, unchecked: opening the bundle finds a corrupt one."""

    about: _About


def _log_sizes(folder: Path) -> tuple[int, int]:
    """Return the number of fights of a fight log, and of columns of the matrix that is built from it."""
    from engine.data.features import MODEL_COLUMNS  # imported late: only estimates for a fight log need the engine

    return _rows(table_file(folder, TABLES[0])), len(MODEL_COLUMNS)


def _matrix_sizes(plan: TrainingPlan) -> tuple[int, int]:
    """Return the number of rows and features of a ready matrix."""
    path = Path(plan.data)
    columns = plan.matrix or MatrixColumns(label="", event="", date="")
    named = [columns.label, columns.event, columns.date, columns.red_odds, columns.blue_odds]
    return _rows(path), _columns(path) - sum(name is not None for name in named)


def _rows(path: Path) -> int:
    """Count the rows of a table without reading it into memory."""
    if path.suffix == ".parquet":
        return int(_parquet(path).num_rows)
    with _text(path) as lines:
        return max(0, sum(chunk.count(b"\n") for chunk in iter(lambda: lines.read(_MIB), b"")) - 1)


def _columns(path: Path) -> int:
    if path.suffix == ".parquet":
        return int(_parquet(path).num_columns)
    with _text(path) as lines:
        return lines.readline().count(b",") + 1


def _text(path: Path) -> BinaryIO:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _parquet(path: Path) -> Any:
    from pyarrow import parquet  # only needed for such a file

    return parquet.read_metadata(path)
