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
from engine.data.features import build_matrix, model_columns
from engine.data.fight_log import read_fight_log
from engine.data.fighter_snapshot import FighterSnapshot
from engine.data.rated_log import rate_log
from engine.members.xgboost_fit import TrainingLimits
from engine.model.bundle import Bundle, open_bundle
from engine.resources.chunked_arrays import NamedArrays
from engine.training.matrix_arrays import matrix_from_arrays, matrix_to_arrays
from engine.training.refits import RefitBatch, RefitPurpose, Trainer, refit_batches
from engine.training.train import ProgressCallback, TrainingConfig, assemble_bundle, check_training_inputs, train_bundle
from ledger.contracts.jobs import TrainEnsemble, TrainPart
from ledger.contracts.reports import PartReport, TrainingReport
from workers.handlers.training.fan_out import FanOutState, gather, prepare, resume_state, run_part
from workers.handlers.training.model_publication import assign_alias, register_model
from workers.handlers.training.training_data import (
    config_from_recipe,
    pin_data,
    read_job_matrix,
    recipe_from_plan,
    training_config,
)
from workers.jobs.context import JobContext
from workers.jobs.operator_overrides import limit_threads
from workers.models.model_store import PREPARED

TIME_LIMIT_MARGIN_SECONDS = 5.0  # before the hard limit of the job: training stops with an error of its own


def train_ensemble(job: TrainEnsemble, context: JobContext) -> TrainingReport:
    """Train a model, register it and assign its alias. Raises EngineError, and as `fan_out.gather` does."""
    with resume_state(context, job.max_training_time_seconds) as state:
        return _train(job, context, state)


def _train(job: TrainEnsemble, context: JobContext, state: FanOutState) -> TrainingReport:
    state, prepared = prepare(context, state, lambda: _prepare(job, context))
    matrix, snapshot, config = _unpack(prepared)
    parts = refit_batches(config, job.part_refits)
    results = gather(
        context,
        state,
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
    register_model(context, bundle)
    alias = None if job.alias is None else assign_alias(context, job.alias, bundle.digest)
    return training_report(bundle, alias)


def train_part(job: TrainPart, context: JobContext) -> PartReport:
    """Run a batch of refits of a training. Raises EngineError, and as `fan_out.run_part` does."""
    n_jobs = limit_threads(context.claim.controls, context.settings.training_threads)

    def make(prepared: Bundle, step: Callable[[], None]) -> NamedArrays:
        limits = TrainingLimits(
            context.remaining_seconds() - TIME_LIMIT_MARGIN_SECONDS,
            min(job.max_memory_mb, context.settings.child_max_memory_mb or job.max_memory_mb),
        )
        return _trainer(prepared.folder).run(RefitBatch.from_name(job.name), limits, n_jobs, step)

    return run_part(job, context, make)


def train_in_process(
    job: TrainEnsemble, parent: Path, on_progress: ProgressCallback, within_seconds: float, n_jobs: int = -1
) -> Bundle:
    """Train a bundle in this process, without parts.

    Parameters
    ----------
    job : TrainEnsemble
        The data and the settings of the training.
    parent : Path
        The folder in which the bundle is written.
    on_progress : callable
        Receives the stage, the finished steps and the total number of steps.
    within_seconds : float
        Time limit in addition to that of the job.
    n_jobs : int
        Number of threads; -1 for one per core.

    Raises
    ------
    EngineError
    """
    job = pin_data(job)
    on_progress("reading", 0, 1)
    matrix, snapshot = read_training_data(job)
    return train_bundle(
        parent, matrix, training_config(job, within_seconds, n_jobs), snapshot, on_progress, _about(job)
    )


def training_report(bundle: Bundle, alias: str | None) -> TrainingReport:
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


def read_training_data(job: TrainEnsemble) -> tuple[TrainingMatrix, FighterSnapshot | None]:
    """Return the rows that a training learns from, and the fighters' state after the last fight; None of a matrix."""
    path = Path(job.data)
    if job.matrix is not None:
        matrix = read_job_matrix(path, job.matrix)
        return (matrix if job.cutoff is None else matrix.before(job.cutoff)), None
    log = read_fight_log(path)
    if job.cutoff is not None:
        log = log.before(job.cutoff)
    rated = rate_log(log)
    matrix = build_matrix(log, rated=rated).select(model_columns(past_odds=job.past_odds))
    return matrix, FighterSnapshot.from_log(log, rated=rated)


def _about(job: TrainEnsemble) -> dict[str, Any]:
    """Return the manifest's entry about the columns of a matrix that are not features."""
    if job.matrix is None:
        return {}
    named = msgspec.structs.asdict(job.matrix)
    # Unused settings are omitted, so that the digests of models without them do not change.
    return {"matrix": {name: value for name, value in named.items() if value or name not in ("pairs", "as_is")}}


def _prepare(job: TrainEnsemble, context: JobContext) -> Bundle:
    """Read and check the data, and write the arrays that all parts need to the store."""
    job = pin_data(job)
    context.progress("reading", 0, 1)
    matrix, snapshot = read_training_data(job)
    recipe = recipe_from_plan(job)
    check_training_inputs(matrix, config_from_recipe(recipe))
    arrays = matrix_to_arrays(matrix)
    if snapshot is not None:
        arrays |= {f"snapshot/{name}": array for name, array in snapshot.to_arrays().items()}
    manifest = {"columns": list(matrix.X.columns), "recipe": recipe, "about": _about(job)}
    return context.store.write(arrays, manifest, PREPARED)


def _unpack(prepared: Bundle) -> tuple[TrainingMatrix, FighterSnapshot | None, TrainingConfig]:
    arrays, manifest = prepared.arrays, prepared.manifest
    state = {name.removeprefix("snapshot/"): arrays[name] for name in arrays if name.startswith("snapshot/")}
    return (
        matrix_from_arrays(arrays, manifest["columns"]),
        FighterSnapshot.from_arrays(state) if state else None,
        config_from_recipe(manifest["recipe"]),
    )


@lru_cache(maxsize=1)
def _trainer(prepared: Path) -> Trainer:
    """Return the trainer of prepared data; it is cached for the next part of the same training."""
    matrix, _, config = _unpack(open_bundle(prepared))
    return Trainer(matrix, config)


def _part_job(
    job: TrainEnsemble, context: JobContext, prepared: str, part: RefitBatch, matrix: TrainingMatrix
) -> TrainPart:
    replica = part.purpose is RefitPurpose.REPLICA
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
