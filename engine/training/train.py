"""Training of an ensemble: point fits, out-of-fold calibration, half-widths and bootstrap replicas.

The order: one fit a fold, for the out-of-fold logits from which calibration and half-widths are estimated; `fits` fits
on all fights, whose mean is the point prediction; `bootstrap_samples` refits on resampled events. `engine.training.
refits` runs them in batches, and `assemble_ensemble` makes the ensemble of the results. Results may lie on disk, so
that memory does not grow with the number of replicas, and may come from other processes.
"""

from __future__ import annotations

import itertools
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from engine.arrays import Floats
from engine.bootstrap import MIN_REPLICAS
from engine.data.feature_matrix import MirrorPlan, TrainingMatrix, check_features, event_blocks, matrix_digest
from engine.data.fighter_snapshot import FighterSnapshot
from engine.data.rated_log import RATING_COLUMNS
from engine.errors import TrainingError, ValidationError
from engine.intervals.half_widths import HalfWidths, fit_half_widths, years_before_end
from engine.members.member_fit import TrainingRows
from engine.members.member_stack import MEMBER_NAMES, join_stacks, stack_from_arrays
from engine.members.weights import check_weights
from engine.members.xgboost_fit import TrainingLimits
from engine.model.bundle import Bundle, write_bundle
from engine.model.market_adjustment import fit_market_model
from engine.model.rating_offset import RatingOffset
from engine.model.trained_ensemble import Ensemble, point_margins, save_ensemble
from engine.model.unfinished_bundles import WRITING_PREFIX
from engine.monitoring.drift import FeatureBins
from engine.resources.blas_threads import one_blas_thread
from engine.resources.chunked_arrays import ChunkedArray, NamedArrays
from engine.resources.xgboost_library import library_version
from engine.statistics.calibration import Calibration, brier_score, log_loss
from engine.statistics.complements import logit_to_probability
from engine.training.data_diagnostics import DataDiagnostics, diagnose_training_data
from engine.training.refits import LOGIT, RefitBatch, RefitPurpose, Trainer, merge_fold_logits, refit_batches
from engine.training.refits import TrainingConfig as TrainingConfig
from engine.training.soft_labels import market_logit

MIN_EVENTS = 20
MIN_FIGHTS = 200
REFITS_PER_BATCH = 16  # replicas held in memory until they are written
_N_REFERENCE_ROWS = 4

ProgressCallback = Callable[[str, int, int], None]

STAGES = {RefitPurpose.FOLD: "folds", RefitPurpose.FIT: "fits", RefitPurpose.REPLICA: "replicas"}


def train_ensemble(
    matrix: TrainingMatrix,
    config: TrainingConfig,
    snapshot: FighterSnapshot | None = None,
    on_progress: ProgressCallback = lambda stage, done, total: None,
) -> Ensemble:
    """Train an ensemble on past fights and hold it in memory.

    Parameters
    ----------
    matrix
        n fights in order of date.
    config
        Training settings.
    snapshot
        The fighters' state after the last fight, stored with the model.
    on_progress
        Called with a stage, the number of refits done and their total.

    Raises
    ------
    ValidationError
        If the data are too few or have one class only.
    TrainingError, TrainingTimeoutError, MemoryLimitError
    """
    check_training_inputs(matrix, config)
    trainer = Trainer(matrix, config)
    batches = refit_batches(config, max(config.fits, config.folds, config.bootstrap_samples))
    results = dict(_run(trainer, batches, config, on_progress))
    ensemble, replicas = assemble_ensemble(matrix, config, snapshot, results)
    if replicas is None:
        return ensemble
    arrays = {name: chunks.to_array() for name, chunks in replicas.items()}
    return replace(ensemble, replicas=stack_from_arrays(trainer.rows.cuts, arrays))


def train_bundle(
    parent: Path,
    matrix: TrainingMatrix,
    config: TrainingConfig,
    snapshot: FighterSnapshot | None = None,
    on_progress: ProgressCallback = lambda stage, done, total: None,
    about: Mapping[str, Any] | None = None,
) -> Bundle:
    """Train as `train_ensemble` does, and write the bundle below `parent` without holding all replicas in memory.

    The bundle equals that of `save_ensemble`, to the bit.

    Parameters
    ----------
    parent
        Folder for the bundle.
    matrix, config, snapshot, on_progress
        As in `train_ensemble`.
    about
        Further entries of the manifest.
    """
    check_training_inputs(matrix, config)
    parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=WRITING_PREFIX, dir=parent) as folder:
        results = {
            batch: write_bundle(Path(folder), arrays, {}, batch.name).arrays
            for batch, arrays in _run(
                Trainer(matrix, config), refit_batches(config, REFITS_PER_BATCH), config, on_progress
            )
        }
        return assemble_bundle(parent, matrix, config, snapshot, results, about)


def assemble_bundle(
    parent: Path,
    matrix: TrainingMatrix,
    config: TrainingConfig,
    snapshot: FighterSnapshot | None,
    results: Mapping[RefitBatch, NamedArrays],
    about: Mapping[str, Any] | None = None,
) -> Bundle:
    """Write the bundle from the results of all batches.

    Parameters
    ----------
    parent
        Folder for the bundle.
    matrix, config, snapshot
        Those of the training.
    results
        The arrays that `Trainer.run` returned, by batch.
    about
        Further entries of the manifest.

    Raises
    ------
    TrainingError
        If the results make no model.
    """
    ensemble, replicas = assemble_ensemble(matrix, config, snapshot, results)
    ensemble = replace(ensemble, manifest=ensemble.manifest | dict(about or {}))
    return save_ensemble(ensemble, parent, replicas)


def assemble_ensemble(
    matrix: TrainingMatrix,
    config: TrainingConfig,
    snapshot: FighterSnapshot | None,
    results: Mapping[RefitBatch, NamedArrays],
) -> tuple[Ensemble, dict[str, ChunkedArray] | None]:
    """Make the ensemble from the results of all batches.

    Parameters
    ----------
    matrix, config, snapshot
        Those of the training.
    results
        The arrays that `Trainer.run` returned, by batch.

    Returns
    -------
    Ensemble
        Without replicas.
    dict of str to ChunkedArray, or None
        The arrays of the replicas, which may not fit in memory; None for a training without.

    Raises
    ------
    TrainingError
        If the results make no model.
    """
    with one_blas_thread():
        market = market_logit(matrix)
        values, plan = check_features(matrix.X), MirrorPlan.from_columns(list(matrix.X.columns))
        cuts = TrainingRows.from_fights(values, plan, config.members.xgboost).cuts
        logit = merge_fold_logits([arrays[LOGIT] for arrays in _results_of(RefitPurpose.FOLD, results)])
        calibration = Calibration.fit(logit, matrix.won, matrix.corner_known)
        known = matrix.corner_known.astype(np.int8)
        unknown_logit = calibration(logit, np.zeros_like(known))
        offset = RatingOffset.fit(list(matrix.X.columns), values, matrix.won)
        half_widths = fit_half_widths(
            unknown_logit=unknown_logit,
            known_logit=calibration(logit, known),
            market_logit=market,
            won=matrix.won,
            corner_known=matrix.corner_known,
            experience=matrix.experience,
            spread=_spread([arrays[LOGIT] for arrays in _results_of(RefitPurpose.REPLICA, results)], calibration),
            rating_spread=_rating_spread(matrix, offset, snapshot, calibration),
            age_years=years_before_end(matrix.date),
        )
        diagnostics = diagnose_training_data(
            matrix, event_blocks(matrix, config.folds), unknown_logit, market, half_widths
        )
        point = stack_from_arrays(
            cuts,
            {name: chunks.to_array() for name, chunks in join_stacks(_results_of(RefitPurpose.FIT, results)).items()},
        )
        rows = values[np.linspace(0, len(values) - 1, _N_REFERENCE_ROWS).astype(np.intp)]
        margin, _ = point_margins(point.by_name(), config.model_weights, plan, rows)
        reference_logit = offset.add_members(offset.rating_logit(rows), margin)
        ensemble = Ensemble(
            columns=tuple(matrix.X.columns),
            weights=dict(config.model_weights),
            point=point,
            replicas=None,
            calibration=calibration,
            half_widths=half_widths,
            market_model=fit_market_model(matrix, market),
            snapshot=snapshot,
            offset=offset,
            # Every later load must predict the same for these rows.
            reference_predictions=(
                rows,
                logit_to_probability(calibration(reference_logit, np.zeros(len(rows), dtype=np.int8))),
            ),
            manifest=_manifest(matrix, config, _metrics(matrix, logit, calibration), half_widths, diagnostics),
        )
    return ensemble, join_stacks(_results_of(RefitPurpose.REPLICA, results)) if config.bootstrap_samples else None


def _run(
    trainer: Trainer, batches: Sequence[RefitBatch], config: TrainingConfig, on_progress: ProgressCallback
) -> Iterator[tuple[RefitBatch, NamedArrays]]:
    """Run batches one after the other, each on all threads."""
    limits = TrainingLimits(config.max_training_time_s, config.max_memory_mb)
    total = config.fits + config.folds + config.bootstrap_samples
    done = itertools.count(1)
    for batch in batches:

        def count(stage: str = STAGES[batch.purpose]) -> None:
            on_progress(stage, next(done), total)

        yield batch, trainer.run(batch, limits, config.n_jobs, count)


def _results_of(role: RefitPurpose, results: Mapping[RefitBatch, NamedArrays]) -> list[NamedArrays]:
    return [results[batch] for batch in sorted(results) if batch.purpose is role]


def _spread(logits: Sequence[Floats], calibration: Calibration) -> float | None:
    """Return the pooled standard deviation of the calibrated logit over the replicas not trained on the fight."""
    if not logits:
        return None
    logit = calibration.slope * np.concatenate(logits)
    counted = np.isfinite(logit).sum(axis=0) >= 2
    if not counted.any():
        raise TrainingError("no fight was left out by two replicas: raise bootstrap_samples")
    return float(np.sqrt(np.mean(np.nanvar(logit[:, counted], axis=0, ddof=1))))


def _rating_spread(
    matrix: TrainingMatrix, offset: RatingOffset, snapshot: FighterSnapshot | None, calibration: Calibration
) -> float | None:
    """Return the standard deviation of the rating's part of the calibrated logit; None if the snapshot is not there."""
    if offset.position is None:
        return 0.0
    if snapshot is None:
        return None
    ratings = snapshot.ratings[RATING_COLUMNS.index(matrix.X.columns[offset.position])]
    return float(calibration.slope * offset.slope * np.sqrt(ratings.forecast_variance))


def check_training_inputs(matrix: TrainingMatrix, config: TrainingConfig) -> None:
    """Check the size and the classes of the data and the settings.

    Raises
    ------
    ValidationError
        If the data are too few or have one class only, or a setting is out of bounds.
    """
    check_weights(config.model_weights, dict.fromkeys(MEMBER_NAMES))
    if len(matrix) < MIN_FIGHTS:
        raise ValidationError(f"{len(matrix)} decided fights are too few to train on: at least {MIN_FIGHTS} are needed")
    events = len(np.unique(matrix.event))
    if events < max(MIN_EVENTS, config.folds):
        raise ValidationError(f"{events} events are too few: at least {max(MIN_EVENTS, config.folds)} are needed")
    if len(np.unique(matrix.won)) < 2:
        raise ValidationError(
            f"all {len(matrix)} fights were won by the {'red' if matrix.won[0] else 'blue'} side: a log that "
            "always lists the winner first cannot be used for training"
        )
    _check_swap(matrix)
    if config.fits < 1 or config.folds < 3:  # one to score, one for early stopping, one to train on
        raise ValidationError(f"fits must be at least 1 and folds at least 3, not {config.fits} and {config.folds}")
    if config.bootstrap_samples and config.bootstrap_samples < MIN_REPLICAS:
        raise ValidationError(
            f"bootstrap_samples must be 0 (no sampling interval) or at least {MIN_REPLICAS}, not "
            f"{config.bootstrap_samples}: 100 for speed, 1000 for precision"
        )


def _check_swap(matrix: TrainingMatrix) -> None:
    """Raise ValidationError if too few rows distinguish the two fighters, so that the calibration cannot be fitted."""
    values = matrix.X.to_numpy(np.float64)
    swapped = MirrorPlan.from_columns(list(matrix.X.columns))(values)
    differ = int(((values != swapped) & ~(np.isnan(values) & np.isnan(swapped))).any(axis=1).sum())
    if differ < MIN_FIGHTS:
        raise ValidationError(
            f"only {differ} of {len(matrix)} fights have a column that differs between the fighters, {MIN_FIGHTS} are "
            "needed: name the fighters' columns red_ and blue_, or their differences diff_, and fill them in"
        )


def _metrics(matrix: TrainingMatrix, logit: Floats, calibration: Calibration) -> dict[str, float]:
    """Return the out-of-fold scores, with the corner if it is known."""
    p = logit_to_probability(calibration(logit, matrix.corner_known.astype(np.int8)))
    metrics = {"log_loss": log_loss(p, matrix.won), "brier": brier_score(p, matrix.won)}
    market = market_logit(matrix)
    priced = np.isfinite(market)
    metrics["priced_fights"] = float(priced.sum())
    if priced.any():
        metrics["log_loss_priced"] = log_loss(p[priced], matrix.won[priced])
        metrics["market_log_loss"] = log_loss(logit_to_probability(market[priced]), matrix.won[priced])
    return metrics


def _manifest(
    matrix: TrainingMatrix,
    config: TrainingConfig,
    metrics: dict[str, float],
    half_widths: HalfWidths,
    diagnostics: DataDiagnostics,
) -> dict[str, Any]:
    settings = asdict(config)
    for limit in ("n_jobs", "max_training_time_s", "max_memory_mb"):
        settings.pop(limit)  # a setting that does not change the model must not change its digest
    return {
        "kind": "ensemble",
        "data": {
            "digest": matrix_digest(matrix),
            "cutoff": str(matrix.date.max()),
            "fights": len(matrix),
            "events": len(np.unique(matrix.event)),
        },
        "config": settings,
        "interval_method": half_widths.method,
        "metrics": metrics | diagnostics.figures,
        "warnings": list(diagnostics.warnings),
        "drift": FeatureBins.from_matrix(matrix).to_manifest(),
        "versions": library_versions(),
    }


def library_versions() -> dict[str, str]:
    """Return the versions of Python, the libraries and the machine, for a manifest."""
    versions = {"python": platform.python_version(), "numpy": np.__version__}
    with suppress(PackageNotFoundError):  # only an import of joblib files needs it
        versions["scikit-learn"] = version("scikit-learn")
    return versions | {"xgboost": library_version(), "machine": platform.machine()}
