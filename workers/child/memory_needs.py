"""What a job needs, looked up before it starts: the sizes of its data and its model, and the engine's estimate."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from msgspec import Struct

from engine.resources.memory_estimate import AnswerSize, TrainingSize, answer_mb, training_mb
from ledger.contracts.controls import Controls
from ledger.contracts.jobs import MatrixColumns, Part, PredictCard, TrainEnsemble, TrainingPlan
from ledger.dataset_files import TABLES, table_file
from workers.jobs.operator_overrides import sampling, threads
from workers.settings import WorkerSettings

_MIB = 2**20


@dataclass(frozen=True)
class Need:
    """What a job is estimated to add to its child, in MiB.

    `number` of `unit` is what the caller could ask less of: `growth_of` says what as many would take.
    """

    what: str
    unit: str
    number: int
    growth_of: Callable[[int], float]

    @property
    def growth_mb(self) -> float:
        """The estimate of the job as it is."""
        return self.growth_of(self.number)

    def largest(self, allowed_mb: float) -> int:
        """The largest number that fits into so much memory, 0 where not even one does."""
        low, high = 0, self.number
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.growth_of(middle) <= allowed_mb else (low, middle - 1)
        return low


def training_need(plan: TrainingPlan, settings: WorkerSettings, controls: Controls) -> Need:
    """Return what a training or a backtest needs. Raises OSError and ValueError where its data cannot be looked at."""
    size = training_size(plan, threads(controls, settings.training_threads))
    what = f"training on {size.fights:,} fights of {size.columns} columns with {size.replicas} replicas"
    unit = "part_refits" if isinstance(plan, TrainEnsemble) else "bootstrap_samples"
    return Need(f"{what} in memory", unit, size.replicas, lambda b: training_mb(replace(size, replicas=b)))


def part_need(part: Part, settings: WorkerSettings, controls: Controls) -> Need:
    """Return what a part of a training or a backtest needs."""
    size = TrainingSize(
        fights=part.fights,
        columns=part.columns,
        replicas=part.replicas,
        fits=part.fits,
        point_trees=part.trees,
        replica_trees=part.replica_trees,
        threads=threads(controls, settings.training_threads),
    )
    what = f"part {part.name} of training on {size.fights:,} fights of {size.columns} columns"
    return Need(what, "part_refits", max(size.replicas, size.fits), lambda n: training_mb(_of_refits(size, n)))


def _of_refits(size: TrainingSize, n: int) -> TrainingSize:
    return replace(size, replicas=min(n, size.replicas), fits=min(n, size.fits))


def answer_need(job: PredictCard, model: Path, controls: Controls) -> Need:
    """Return what a card needs in a child that has its model still to open. Raises OSError where there is none."""
    size = answer_size(job, model, controls)
    what = f"answering {size.fights} fights with a model of {size.bundle_mb:.0f} MB"
    return Need(what, "fights", size.fights, lambda fights: answer_mb(replace(size, fights=fights)))


def training_size(plan: TrainingPlan, n_threads: int) -> TrainingSize:
    """Return the sizes that a training's memory depends on. Raises OSError and ValueError as `training_need` does."""
    fights, columns = _log_sizes(Path(plan.data)) if plan.matrix is None else _matrix_sizes(plan)
    return TrainingSize(
        fights=fights,
        columns=columns,
        # The replicas of a model are written as they come, in parts; a backtest holds all of its model's.
        replicas=min(plan.part_refits, plan.bootstrap_samples)
        if isinstance(plan, TrainEnsemble)
        else plan.bootstrap_samples,
        fits=plan.fits + plan.folds,
        point_trees=plan.forest_trees,
        replica_trees=plan.replica_forest_trees,
        threads=n_threads,
    )


def answer_size(job: PredictCard, model: Path, controls: Controls) -> AnswerSize:
    """Return the sizes that an answer's memory depends on. Raises OSError and ValueError without such a model."""
    about = msgspec.json.decode((model / "manifest.json").read_bytes(), type=_Manifest).about
    replicas = sampling(controls, job.intervals.bootstrap_samples, about.bootstrap_samples).replicas
    bundle_mb = sum(path.stat().st_size for path in model.rglob("*") if path.is_file()) / _MIB
    return AnswerSize(len(job.fights), replicas, bundle_mb)


class _About(Struct):
    bootstrap_samples: int


class _Manifest(Struct):
    """What is read of a bundle's manifest, unchecked: a corrupt one is found when it is opened."""

    about: _About


def _log_sizes(folder: Path) -> tuple[int, int]:
    """Fights of a fight log, and columns of the matrix that is built of them."""
    from engine.data.features import MODEL_COLUMNS  # a child has it; who only reckons need not wait for it

    return _rows(table_file(folder, TABLES[0])), len(MODEL_COLUMNS)


def _matrix_sizes(plan: TrainingPlan) -> tuple[int, int]:
    """Rows and features of a ready matrix."""
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
    from pyarrow import parquet  # only where there is such a file

    return parquet.read_metadata(path)
