"""From a `TrainEnsemble` to a model bundle with a name.

The bundle is written whole, then registered, then named: a crash in between leaves at most a bundle that nobody names,
and the next attempt finds it again under the same digest.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import msgspec

from engine.bundle import Bundle
from engine.features import MODEL_COLUMNS, build_matrix
from engine.fightlog import read_fight_log
from engine.matrix import TrainingMatrix
from engine.snapshot import Snapshot
from engine.training import Progress, train_bundle
from ledger.jobs import TrainEnsemble
from ledger.reports import TrainingReport
from workers.context import JobContext
from workers.naming import name_model, register
from workers.plans import check_data, matrix_of, training_config, within_limit
from workers.switches import threads

SAFETY_SECONDS = 5.0  # training gives up this long before the job's hard limit, to end with a message of its own


def train(job: TrainEnsemble, context: JobContext) -> TrainingReport:
    """Train, write the bundle, register it and name it. Raises what the engine raises, and JobRefused."""
    plan = within_limit(job, context.settings.memory_limit_mb)
    within_seconds = context.remaining_seconds() - SAFETY_SECONDS
    n_jobs = threads(context.claim.controls, context.settings.training_threads)
    bundle = train_on_file(plan, context.settings.models_folder, context.progress, within_seconds, n_jobs)
    register(context, bundle.digest, bundle.manifest)
    alias = None if job.alias is None else name_model(context, job.alias, bundle.digest)
    return report_of(bundle, alias)


def train_on_file(
    job: TrainEnsemble, parent: Path, progress: Progress, within_seconds: float, n_jobs: int = -1
) -> Bundle:
    """Read what the job names and train on it, on `n_jobs` threads, a bundle below `parent`. Raises as the engine."""
    check_data(job)
    progress("reading", 0, 1)
    matrix, snapshot = _read(job)
    # Who answers a matrix with this model wants to know the columns that are no features.
    about = {} if job.matrix is None else {"matrix": msgspec.structs.asdict(job.matrix)}
    return train_bundle(parent, matrix, training_config(job, within_seconds, n_jobs), snapshot, progress, about)


def report_of(bundle: Bundle, alias: str | None) -> TrainingReport:
    """Return the report about a trained bundle."""
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
