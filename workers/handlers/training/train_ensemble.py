"""Handler of `TrainEnsemble`: train a model bundle on several workers, register it and assign an alias.

The job reads and checks the data, fans its refits out in parts (`workers.handlers.training.fan_out`), and assembles
their results. The bundle is written, then registered, then gets its alias: a crash in between leaves at most a bundle
without an alias, which the next attempt finds under the same digest.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from engine.data.feature_matrix import TrainingMatrix
from engine.data.features import MODEL_COLUMNS, build_matrix
from engine.data.fight_log import read_fight_log
from engine.data.fighter_snapshot import Snapshot
from engine.members.xgboost_fit import TrainingLimits
from engine.model.bundle import Bundle, open_bundle
from engine.resources.chunked_arrays import Arrays
from engine.training.matrix_arrays import arrays_of_matrix, matrix_of_arrays
from engine.training.refits import Part, Role, Trainer, parts_of
from engine.training.train import Progress, TrainingConfig, assemble_bundle, check_training, train_bundle
from ledger.contracts.jobs import TrainEnsemble, TrainPart
from ledger.contracts.reports import PartReport, TrainingReport
from workers.handlers.training.fan_out import Note, gather, looking, prepare, work_off
from workers.handlers.training.model_publication import name_model, register
from workers.handlers.training.training_data import check_data, config_of, matrix_of, recipe_of, training_config
from workers.jobs.context import JobContext
from workers.jobs.operator_overrides import threads
from workers.models.model_store import PREPARED

SAFETY_SECONDS = 5.0  # before the hard limit of the job: training stops with an error of its own


def train(job: TrainEnsemble, context: JobContext) -> TrainingReport:
    """Train a model, register it and assign its alias. Raises EngineError, and as `fan_out.gather` does."""
    with looking(context, job.max_training_time_seconds) as note:
        return _train(job, context, note)


def _train(job: TrainEnsemble, context: JobContext, note: Note) -> TrainingReport:
    note, prepared = prepare(context, note, lambda: _prepare(job, context))
    matrix, snapshot, config = _unpack(prepared)
    parts = parts_of(config, job.part_refits)
    results = gather(
        context,
        note,
        [_part_job(job, context, prepared.digest, part, matrix) for part in parts],
        [part.stop - part.start for part in parts],
        job.max_training_time_seconds,
    )
    store = context.store
    with store.writing():
        bundle = assemble_bundle(
            store.folder,
            matrix,
            config,
            snapshot,
            {part: results[part.name] for part in parts},
            prepared.manifest["about"],
        )
    store.publish(bundle)
    register(context, bundle.digest, bundle.manifest)
    alias = None if job.alias is None else name_model(context, job.alias, bundle.digest)
    return report_of(bundle, alias)


def train_part(job: TrainPart, context: JobContext) -> PartReport:
    """Run a batch of refits of a training. Raises EngineError, and as `fan_out.run_part` does."""
    n_jobs = threads(context.claim.controls, context.settings.training_threads)

    def make(prepared: Bundle, step: Callable[[], None]) -> Arrays:
        limits = TrainingLimits(
            context.remaining_seconds() - SAFETY_SECONDS,
            min(job.max_memory_mb, context.settings.memory_limit_mb or job.max_memory_mb),
        )
        return _trainer(prepared.folder).run(Part.named(job.name), limits, n_jobs, step)

    return work_off(job, context, make)


def train_on_file(
    job: TrainEnsemble, parent: Path, progress: Progress, within_seconds: float, n_jobs: int = -1
) -> Bundle:
    """Train a bundle below `parent` in this process, on `n_jobs` threads. Raises EngineError."""
    check_data(job)
    progress("reading", 0, 1)
    matrix, snapshot = _read(job)
    return train_bundle(parent, matrix, training_config(job, within_seconds, n_jobs), snapshot, progress, _about(job))


def report_of(bundle: Bundle, alias: str | None) -> TrainingReport:
    """Return the report of a trained bundle."""
    manifest = bundle.manifest
    return TrainingReport(
        model=bundle.digest,
        alias=alias,
        data_digest=manifest["data"]["digest"],
        data_cutoff=date.fromisoformat(manifest["data"]["cutoff"]),
        fights=manifest["data"]["fights"],
        events=manifest["data"]["events"],
        features=len(manifest["columns"]),
        bootstrap_samples=manifest["bootstrap_samples"],
        interval_method=manifest["interval_method"],
        metrics=manifest["metrics"],
        bundle_bytes=bundle.size_bytes,
        warnings=tuple(manifest.get("warnings", ())),
    )


def _read(job: TrainEnsemble) -> tuple[TrainingMatrix, Snapshot | None]:
    path = Path(job.data)
    if job.matrix is not None:
        matrix = matrix_of(path, job.matrix)
        return (matrix if job.cutoff is None else matrix.before(job.cutoff)), None
    log = read_fight_log(path)
    if job.cutoff is not None:
        log = log.before(job.cutoff)
    return build_matrix(log).select(MODEL_COLUMNS), Snapshot.from_log(log)


def _about(job: TrainEnsemble) -> dict[str, Any]:
    """Return the manifest's entry about the columns of a matrix that are not features."""
    if job.matrix is None:
        return {}
    named = msgspec.structs.asdict(job.matrix)
    # Unused settings are omitted, so that the digests of models without them do not change.
    return {"matrix": {name: value for name, value in named.items() if value or name not in ("pairs", "as_is")}}


def _prepare(job: TrainEnsemble, context: JobContext) -> Bundle:
    """Read and check the data, and write the arrays that all parts need to the store."""
    check_data(job)
    context.progress("reading", 0, 1)
    matrix, snapshot = _read(job)
    recipe = recipe_of(job)
    check_training(matrix, config_of(recipe))
    arrays = arrays_of_matrix(matrix)
    if snapshot is not None:
        arrays |= {f"snapshot/{name}": array for name, array in snapshot.to_arrays().items()}
    manifest = {"columns": list(matrix.X.columns), "recipe": recipe, "about": _about(job)}
    return context.store.write(arrays, manifest, PREPARED)


def _unpack(prepared: Bundle) -> tuple[TrainingMatrix, Snapshot | None, TrainingConfig]:
    arrays, manifest = prepared.arrays, prepared.manifest
    state = {name.removeprefix("snapshot/"): arrays[name] for name in arrays if name.startswith("snapshot/")}
    return (
        matrix_of_arrays(arrays, manifest["columns"]),
        Snapshot.from_arrays(state) if state else None,
        config_of(manifest["recipe"]),
    )


@lru_cache(maxsize=1)
def _trainer(prepared: Path) -> Trainer:
    """Return the trainer of prepared data; it is cached for the next part of the same training."""
    matrix, _, config = _unpack(open_bundle(prepared))
    return Trainer(matrix, config)


def _part_job(job: TrainEnsemble, context: JobContext, prepared: str, part: Part, matrix: TrainingMatrix) -> TrainPart:
    replica = part.role is Role.REPLICA
    refits = part.stop - part.start
    return TrainPart(
        of=context.claim.job_id,
        prepared=prepared,
        name=part.name,
        fights=len(matrix),
        columns=len(matrix.X.columns),
        replicas=refits if replica else 0,
        fits=0 if replica else refits,
        trees=job.forest_trees,
        replica_trees=job.replica_forest_trees,
        max_training_time_seconds=job.max_training_time_seconds,
        max_memory_mb=job.max_memory_mb,
        deadline=job.deadline,
    )
