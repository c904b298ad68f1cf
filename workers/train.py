"""From a `TrainEnsemble` to a model bundle with a name.

The bundle is written whole, then registered, then named: a crash in between leaves at most a bundle that nobody names,
and the next attempt finds it again under the same digest.
"""

from __future__ import annotations

from pathlib import Path

from engine.bundle import Bundle
from engine.errors import ValidationError
from engine.features import MODEL_COLUMNS, build_matrix
from engine.fightlog import read_fight_log
from engine.forest import ForestParams
from engine.matrix import TrainingMatrix, read_matrix
from engine.members import MemberParams
from engine.model import save_ensemble
from engine.snapshot import Snapshot
from engine.training import TrainingConfig, train_ensemble
from ledger.datafiles import folder_digest
from ledger.jobs import MatrixColumns, TrainEnsemble
from ledger.reports import TrainingReport
from workers.context import JobContext
from workers.execution import insist

SAFETY_SECONDS = 5.0  # training gives up this long before the job's hard limit, to end with a message of its own


def train(job: TrainEnsemble, context: JobContext) -> TrainingReport:
    """Train, write the bundle, register it and give it its alias. Raises what the engine raises."""
    _check_data(job)
    context.progress("reading", 0, 1)
    matrix, snapshot = _read(job)
    config = TrainingConfig(
        seed=job.seed,
        bootstrap_samples=job.bootstrap_samples,
        fits=job.fits,
        folds=job.folds,
        model_weights={name: getattr(job.model_weights, name) for name in job.model_weights.__struct_fields__},
        members=MemberParams(forest=ForestParams(trees=job.forest_trees)),
        replica_members=MemberParams(forest=ForestParams(trees=job.replica_forest_trees)),
        max_training_time_s=min(job.max_training_time_seconds, context.remaining_seconds() - SAFETY_SECONDS),
        max_memory_mb=job.max_memory_mb,
    )
    ensemble = train_ensemble(matrix, config, snapshot, context.progress)
    bundle = save_ensemble(ensemble, context.settings.models_folder)
    manifest = bundle.manifest
    _register(job, context, bundle)
    return TrainingReport(
        model=bundle.digest,
        alias=job.alias,
        data_digest=manifest["data"]["digest"],
        data_cutoff=ensemble.data_cutoff,
        fights=len(matrix),
        events=manifest["data"]["events"],
        features=len(ensemble.columns),
        bootstrap_samples=ensemble.n_replicas,
        interval_method=ensemble.half_widths.method,
        metrics=manifest["metrics"],
        bundle_bytes=bundle.size_bytes,
    )


def _register(job: TrainEnsemble, context: JobContext, bundle: Bundle) -> None:
    """Make the model known, and wait for the ledger if it is away: training is too dear to be done again for that."""
    summary = {name: bundle.manifest[name] for name in ("data", "metrics", "bootstrap_samples", "interval_method")}
    insist(lambda: context.ledger.register_model(bundle.digest, summary))
    if job.alias is not None:
        insist(lambda: context.ledger.set_alias(str(job.alias), bundle.digest))


def _check_data(job: TrainEnsemble) -> None:
    if job.data_digest is None:
        return
    found = folder_digest(job.data)
    if found != job.data_digest:
        raise ValidationError(
            f"{job.data} holds other data (digest {found[:12]}…) than the job was submitted for "
            f"({job.data_digest[:12]}…): submit it again"
        )


def _read(job: TrainEnsemble) -> tuple[TrainingMatrix, Snapshot | None]:
    path = Path(job.data)
    if job.matrix is not None:
        matrix = _read_matrix(path, job.matrix)
        return (matrix if job.cutoff is None else matrix.before(job.cutoff)), None
    log = read_fight_log(path)
    if job.cutoff is not None:
        log = log.before(job.cutoff)
    return build_matrix(log).select(MODEL_COLUMNS), Snapshot.from_log(log)


def _read_matrix(path: Path, columns: MatrixColumns) -> TrainingMatrix:
    return read_matrix(
        path,
        label=columns.label,
        event=columns.event,
        date=columns.date,
        red_odds=columns.red_odds,
        blue_odds=columns.blue_odds,
    )
