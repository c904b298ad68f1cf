"""Training the whole: point fits, out-of-fold calibration, half-widths and bootstrap replicas.

Every fight stands in the training rows twice, once from either side, and both rows always share a weight, a fold and a
resample. Folds are blocks of whole events in order of date. Every refit has streams of its own, so the trained model
is the same bits for any number of threads.

The order of the work: `fits` fits on everything, whose mean is the answer; one fit a fold, for the out-of-fold logits
that calibration and half-widths are measured on; `bootstrap_samples` refits on resampled events.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
import sklearn
import xgboost
from joblib import Parallel, delayed
from numpy.typing import NDArray

from engine.blas import one_blas_thread
from engine.boosting import TrainingLimits
from engine.bootstrap import MIN_REPLICAS, check_weights, resample_events, threads_for
from engine.calibration import Calibration, brier_score, log_loss
from engine.errors import TrainingError, ValidationError
from engine.forest import ForestParams
from engine.intervals import HalfWidths, fit_half_widths
from engine.market import devig
from engine.market_model import fit_market_model
from engine.matrix import MirrorPlan, TrainingMatrix, check_features, event_blocks, matrix_digest
from engine.member import Floats
from engine.members import (
    DEFAULT_WEIGHTS,
    MEMBERS,
    MemberParams,
    MemberStacks,
    TrainingRows,
    fit_members,
    stack_members,
)
from engine.model import Ensemble, point_margins
from engine.snapshot import Snapshot
from engine.symmetry import logit_of, margin_of, probability_of

MIN_EVENTS = 20
MIN_FIGHTS = 200
_SPREAD_FIGHTS = 1000  # the latest fights are enough for one pooled standard deviation
_CANARY_ROWS = 4

Progress = Callable[[str, int, int], None]


class Role(IntEnum):
    """What a refit is for; part of its seed, so that no two refits share a stream."""

    REPLICA = 0
    FIT = 1
    FOLD = 2


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """How an ensemble is trained; the defaults are what the documentation measures.

    seed: of everything. bootstrap_samples: replicas, 0 for none. fits: refits whose mean is the answer. folds: for
    the out-of-fold logits. members, replica_members: hyperparameters of the point fits and of the replicas.
    n_jobs: threads, -1 for one a core; never changes the result.
    """

    seed: int = 0
    bootstrap_samples: int = 100
    fits: int = 5
    folds: int = 10
    model_weights: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_WEIGHTS))
    members: MemberParams = field(default_factory=MemberParams)
    replica_members: MemberParams = field(default_factory=lambda: MemberParams(forest=ForestParams(trees=50)))
    max_training_time_s: float = 3600.0
    max_memory_mb: float = 4096.0
    n_jobs: int = -1


@dataclass(frozen=True, slots=True)
class _Refit:
    """One refit: its seed, how often each fight counts, and the fights on which XGBoost decides when to stop."""

    stream: np.random.SeedSequence
    weight: NDArray[np.int64]
    stop: NDArray[np.bool_]
    members: MemberParams


def train_ensemble(
    matrix: TrainingMatrix,
    config: TrainingConfig,
    snapshot: Snapshot | None = None,
    progress: Progress = lambda stage, done, total: None,
) -> Ensemble:
    """Train an ensemble on past fights.

    matrix: n fights in order of date. snapshot: the fighters' state after the last of them, kept with the model.
    progress: called with a stage, the refits done and their total. Raises ValidationError where the data are too few
    or one-sided, TrainingError and TrainingTimeoutError, MemoryLimitError.
    """
    _check(matrix, config)
    market = market_logit(matrix)
    trainer = _Trainer(matrix, config, progress)
    with one_blas_thread():
        fits = trainer.run("fits", trainer.fits())
        logit = trainer.out_of_fold()
        replicas = trainer.run("replicas", trainer.replicas())
        calibration = Calibration.fit(logit, matrix.won, matrix.corner_known)
        spread = trainer.spread(stack_members(replicas), calibration) if replicas else None
        known = matrix.corner_known.astype(np.int8)
        half_widths = fit_half_widths(
            unknown_logit=calibration(logit, np.zeros_like(known)),
            known_logit=calibration(logit, known),
            market_logit=market,
            won=matrix.won,
            corner_known=matrix.corner_known,
            experience=matrix.experience,
            spread=spread,
        )
        point = stack_members(fits)
        canary = _canary(trainer, point, calibration)
    return Ensemble(
        columns=tuple(matrix.X.columns),
        weights=dict(config.model_weights),
        point=point,
        replicas=stack_members(replicas) if replicas else None,
        calibration=calibration,
        half_widths=half_widths,
        market_model=fit_market_model(matrix, market),
        snapshot=snapshot,
        canary=canary,
        manifest=_manifest(matrix, config, _metrics(matrix, logit, calibration), half_widths),
    )


def market_logit(matrix: TrainingMatrix) -> Floats:
    """Return the de-vigged (power method) closing logit of the first fighter, (n,), NaN where there were no odds."""
    logit = np.full(len(matrix), np.nan)
    priced = np.isfinite(matrix.red_odds) & np.isfinite(matrix.blue_odds)
    if priced.any():
        red = devig(np.column_stack([matrix.red_odds[priced], matrix.blue_odds[priced]]))[:, 0]
        logit[priced] = np.log(red / (1.0 - red))
    return logit


class _Trainer:
    """Runs refits on one matrix, on all threads, within the limits."""

    def __init__(self, matrix: TrainingMatrix, config: TrainingConfig, progress: Progress) -> None:
        self._matrix = matrix
        self._config = config
        self._progress = progress
        self._limits = TrainingLimits(config.max_training_time_s, config.max_memory_mb)
        self.plan = MirrorPlan.of(list(matrix.X.columns))
        self.weights = dict(config.model_weights)
        self.values = check_features(matrix.X)
        self._rows = TrainingRows.of(self.values, self.plan, matrix.won, config.members.xgboost)
        self._blocks = event_blocks(matrix, config.folds)
        self._total = config.fits + config.folds + config.bootstrap_samples
        self._done = 0

    def fits(self) -> Iterator[_Refit]:
        """The point fits: all fights; each leaves another block of events out of XGBoost to stop on."""
        for index in range(self._config.fits):
            stop = self._blocks == index % self._config.folds
            yield _Refit(self._stream(Role.FIT, index), np.ones_like(self._blocks), stop, self._config.members)

    def folds(self) -> Iterator[_Refit]:
        """One fit without each block of events; XGBoost stops on the block after it."""
        for index in range(self._config.folds):
            stop = self._blocks == (index + 1) % self._config.folds
            weight = (self._blocks != index).astype(np.int64)
            yield _Refit(self._stream(Role.FOLD, index), weight, stop, self._config.members)

    def replicas(self) -> Iterator[_Refit]:
        """The bootstrap refits; XGBoost stops on the events that were not drawn."""
        for index in range(self._config.bootstrap_samples):
            weight = self.resample(index)
            yield _Refit(self._stream(Role.REPLICA, index), weight, weight == 0, self._config.replica_members)

    def resample(self, index: int) -> NDArray[np.int64]:
        """How often each fight stands in replica `index`."""
        return resample_events(self._matrix.event, self._stream(Role.REPLICA, index).spawn(1)[0])

    def run(self, stage: str, refits: Iterator[_Refit]) -> list[MemberStacks]:
        """Run refits on all threads; their results in order."""
        results = []
        threads = threads_for(self._config.n_jobs)
        for result in Parallel(n_jobs=threads, prefer="threads", return_as="generator", pre_dispatch=threads)(
            delayed(self._fit)(refit) for refit in refits
        ):
            results.append(result)
            self._done += 1
            self._progress(stage, self._done, self._total)
        return results

    def out_of_fold(self) -> Floats:
        """The ensemble's logit for every fight, from the fit that has not seen its event."""
        logit = np.empty(len(self._matrix))
        for index, members in enumerate(self.run("folds", self.folds())):
            fold = self._blocks == index
            margin, _ = point_margins(members.by_name(), self._config.model_weights, self.plan, self.values[fold])
            logit[fold] = logit_of(margin)
        return logit

    def spread(self, replicas: MemberStacks, calibration: Calibration) -> float:
        """Pooled standard deviation of the calibrated logit over the replicas that have not seen the fight."""
        latest = slice(max(0, len(self._matrix) - _SPREAD_FIGHTS), None)
        both = np.concatenate([self.values[latest], self.plan(self.values[latest])])
        half = len(both) // 2
        logit = np.empty((self._config.bootstrap_samples, half))
        for index in range(self._config.bootstrap_samples):
            total = sum(
                weight * replicas.by_name()[name].predict_replicas(both, index, index + 1)[0]
                for name, weight in sorted(self._config.model_weights.items())
            )
            logit[index] = calibration.slope * logit_of(margin_of(total[:half], total[half:]))
            logit[index, self.resample(index)[latest] > 0] = np.nan
        counted = np.isfinite(logit).sum(axis=0) >= 2
        if not counted.any():
            raise TrainingError("no fight was left out by two replicas: raise bootstrap_samples")
        return float(np.sqrt(np.mean(np.nanvar(logit[:, counted], axis=0, ddof=1))))

    def _stream(self, role: Role, index: int) -> np.random.SeedSequence:
        return np.random.SeedSequence(self._config.seed, spawn_key=(int(role), index))

    def _fit(self, refit: _Refit) -> MemberStacks:
        self._limits.check(f"refit {self._done + 1} of {self._total}")
        return fit_members(self._rows, refit.weight, refit.stop, refit.members, refit.stream, self._limits)


def _check(matrix: TrainingMatrix, config: TrainingConfig) -> None:
    check_weights(config.model_weights, dict.fromkeys(MEMBERS))
    if len(matrix) < MIN_FIGHTS:
        raise ValidationError(f"{len(matrix)} decided fights are too few to train on: at least {MIN_FIGHTS} are needed")
    events = len(np.unique(matrix.event))
    if events < max(MIN_EVENTS, config.folds):
        raise ValidationError(f"{events} events are too few: at least {max(MIN_EVENTS, config.folds)} are needed")
    if len(np.unique(matrix.won)) < 2:
        raise ValidationError(
            f"all {len(matrix)} fights were won by the {'red' if matrix.won[0] else 'blue'} side: a log in which the "
            "winner always stands first teaches nothing"
        )
    if config.fits < 1 or config.folds < 3:  # one to score, one to stop on, one to train on
        raise ValidationError(f"fits must be at least 1 and folds at least 3, not {config.fits} and {config.folds}")
    if config.bootstrap_samples and config.bootstrap_samples < MIN_REPLICAS:
        raise ValidationError(
            f"bootstrap_samples must be 0 (no sampling interval) or at least {MIN_REPLICAS}, not "
            f"{config.bootstrap_samples}: 100 for speed, 1000 for precision"
        )


def _metrics(matrix: TrainingMatrix, logit: Floats, calibration: Calibration) -> dict[str, float]:
    """Out-of-fold scores; the corner is used where it is known."""
    p = probability_of(calibration(logit, matrix.corner_known.astype(np.int8)))
    metrics = {"log_loss": log_loss(p, matrix.won), "brier": brier_score(p, matrix.won)}
    market = market_logit(matrix)
    priced = np.isfinite(market)
    metrics["priced_fights"] = float(priced.sum())
    if priced.any():
        metrics["log_loss_priced"] = log_loss(p[priced], matrix.won[priced])
        metrics["market_log_loss"] = log_loss(probability_of(market[priced]), matrix.won[priced])
    return metrics


def _canary(trainer: _Trainer, point: MemberStacks, calibration: Calibration) -> tuple[Floats, Floats]:
    """Pick a few rows and what this model says of them: any later load must say the same."""
    rows = trainer.values[np.linspace(0, len(trainer.values) - 1, _CANARY_ROWS).astype(np.intp)]
    margin, _ = point_margins(point.by_name(), trainer.weights, trainer.plan, rows)
    return rows, probability_of(calibration(logit_of(margin), np.zeros(len(rows), dtype=np.int8)))


def _manifest(
    matrix: TrainingMatrix, config: TrainingConfig, metrics: dict[str, float], half_widths: HalfWidths
) -> dict[str, Any]:
    settings = asdict(config)
    for limit in ("n_jobs", "max_training_time_s", "max_memory_mb"):
        settings.pop(limit)  # what does not change the model must not change its digest
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
        "metrics": metrics,
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Return the versions that a model is made with, for its manifest."""
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scikit-learn": sklearn.__version__,
        "xgboost": xgboost.__version__,
        "machine": platform.machine(),
    }
