"""Interval methods for win probabilities, to compare their coverage of the true probability.

Our methods and those of the model alone use the ensemble of all training fights. Methods that need held-out fights use
a second ensemble, trained on the earlier four fifths of the events and calibrated on the rest.

Venn-Abers: Vovk, Petej (2014). Split conformal: Vovk et al. (2005), by MAPIE and crepes.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, logit, ndtri
from sklearn.base import BaseEstimator, RegressorMixin

from benchmarks.intervals.simulated_worlds import World
from engine.bootstrap import ThreadSafeBootstrapSampler, create_bootstrap_config
from engine.data.feature_matrix import TrainingMatrix, mirror
from engine.ensemble import Corner, FightPrediction, ProductionEnsembleManager, create_production_ensemble_config
from engine.intervals.half_widths import fit_half_widths
from engine.intervals.percentile import percentile_interval
from engine.model.trained_ensemble import Ensemble
from engine.statistics.complements import margin_to_logit, mirror_averaged_margin
from engine.training.soft_labels import market_logit
from engine.training.train import TrainingConfig, train_ensemble

Floats = NDArray[np.float64]
Bounds = tuple[Floats, Floats]
LEVELS = (0.8, 0.95)
CALIBRATION_FRACTION = 0.2


@dataclass(frozen=True, eq=False)
class CalibrationSet:
    """A second ensemble's probabilities: for held-out calibration fights and for the test fights."""

    fights: TrainingMatrix
    calibration: Floats
    test: Floats


@dataclass(frozen=True, eq=False)
class AnsweredWorld:
    """A world, the ensemble trained on it, its predictions of the test fights, and the replicas' logits."""

    world: World
    ensemble: Ensemble
    answers: list[FightPrediction]
    replica_logits: Floats
    held: CalibrationSet

    @property
    def probability(self) -> Floats:
        """Point predictions as in production, (n,)."""
        return _probabilities(self.answers)


Method = Callable[[AnsweredWorld, float], Bounds]


def answer(world: World, config: TrainingConfig) -> AnsweredWorld:
    """Train on the world as in production and predict its test fights."""
    ensemble = train_ensemble(world.train, config)
    seen = _events_before(world.train, 1.0 - CALIBRATION_FRACTION)
    fights = world.train.take(~seen)
    second = train_ensemble(world.train.take(seen), replace(config, bootstrap_samples=0, fits=1, folds=3))
    held = CalibrationSet(fights, *(_probabilities(predict(second, matrix)) for matrix in (fights, world.test)))
    return AnsweredWorld(world, ensemble, predict(ensemble, world.test), _replica_logits(ensemble, world.test), held)


def anchored(answered: AnsweredWorld, level: float) -> Bounds:
    """Return our intervals, with half-widths calibrated on closing odds of past fights."""
    low, high = np.array([answer.intervals[level] for answer in answered.answers]).T
    return low, high


def model_based(answered: AnsweredWorld, level: float) -> Bounds:
    """Return our intervals for data without odds: a multiple of the bootstrap's pooled spread."""
    none = tuple(np.empty(0) for _ in answered.ensemble.half_widths.distances[0])
    floor = replace(answered.ensemble.half_widths, distances=(none, none), weights=None)
    test = answered.world.test
    return _around(answered.probability, floor.at_level(level, test.corner_known, test.experience))


def anchored_to(share: float) -> Method:
    """Return our method with a market that knows only this share of what the model misses, so that coverage must fail.

    The market is simulated around the truth of the test fights, three times for each, and so are the results.
    """

    def method(answered: AnsweredWorld, level: float) -> Bounds:
        rng = np.random.default_rng(0)
        truth, own = (np.tile(logit(p), 3) for p in (answered.world.truth, answered.probability))
        unknown = np.full(len(own), -1)
        half_widths = fit_half_widths(
            unknown_logit=own,
            known_logit=own,
            market_logit=own + share * (truth - own) + rng.normal(0.0, 0.15, len(own)),
            won=(rng.random(len(own)) < expit(truth)).astype(np.int8),
            corner_known=unknown > 0,
            experience=unknown,
            spread=answered.ensemble.half_widths.spread,
        )
        count = len(answered.world.truth)
        return _around(answered.probability, half_widths.at_level(level, unknown[:count] > 0, unknown[:count]))

    return method


def percentile_bootstrap(answered: AnsweredWorld, level: float) -> Bounds:
    """Return percentiles over the replicas, as the reported `sampling_interval`."""
    low, high = percentile_interval(answered.replica_logits, level)
    return expit(low), expit(high)


def platt_normal(answered: AnsweredWorld, level: float) -> Bounds:
    """Return the calibrated logit plus and minus the normal quantile times the replicas' standard deviation."""
    return _around(answered.probability, float(ndtri(0.5 + level / 2.0)) * answered.replica_logits.std(axis=0, ddof=1))


def venn_abers(answered: AnsweredWorld, level: float) -> Bounds:
    """Return p0 and p1 of inductive Venn-Abers prediction, which has no level."""
    from venn_abers import VennAbers

    fitted = VennAbers()
    fitted.fit(
        np.column_stack([1.0 - answered.held.calibration, answered.held.calibration]),
        answered.held.fights.won.astype(np.int64),
    )
    _, pair = fitted.predict_proba(np.column_stack([1.0 - answered.held.test, answered.held.test]))
    return pair.min(axis=1), pair.max(axis=1)


def mapie_result(answered: AnsweredWorld, level: float) -> Bounds:
    """Return MAPIE's split conformal intervals of the result: they are to contain the 0 or 1."""
    from mapie.regression import SplitConformalRegressor

    fitted = SplitConformalRegressor(_Given(), confidence_level=level, prefit=True)
    fitted.conformalize(answered.held.calibration[:, None], answered.held.fights.won.astype(np.float64))
    _, bounds = fitted.predict_interval(answered.held.test[:, None])
    return np.clip(bounds[:, 0, 0], 0.0, 1.0), np.clip(bounds[:, 1, 0], 0.0, 1.0)


def crepes_market(answered: AnsweredWorld, level: float) -> Bounds:
    """Return crepes' split conformal intervals of the closing logit."""
    from crepes import ConformalRegressor

    market = market_logit(answered.held.fights)
    priced = np.isfinite(market)
    fitted = ConformalRegressor()
    fitted.fit(market[priced] - logit(answered.held.calibration[priced]))
    bounds = fitted.predict_int(logit(answered.held.test), confidence=level)
    return expit(bounds[:, 0]), expit(bounds[:, 1])


class _Given(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A regressor that returns its only feature, so that MAPIE can use the predictions of any model."""

    fitted_ = True

    def fit(self, X: Floats, y: Floats) -> _Given:
        """Do nothing: the regressor has no parameters."""
        return self

    def predict(self, X: Floats) -> Floats:
        """Return the first column."""
        return X[:, 0]


METHODS: Mapping[str, Method] = {
    "anchored (ours)": anchored,
    "model_based (ours, no odds)": model_based,
    "anchored, market sees 1/2": anchored_to(0.5),
    "anchored, market sees 1/4": anchored_to(0.25),
    "percentile bootstrap": percentile_bootstrap,
    "Platt, 1.96 sd": platt_normal,
    "Venn-Abers p0 to p1": venn_abers,
    "MAPIE, of the result": mapie_result,
    "crepes, of the closing odds": crepes_market,
}
NEEDS: Mapping[str, str] = {
    "Venn-Abers p0 to p1": "venn_abers",
    "MAPIE, of the result": "mapie",
    "crepes, of the closing odds": "crepes",
}

NOTES: Mapping[str, str] = {
    "model_based (ours, no odds)": "members' spread of a model with odds; without odds that of the rating is added",
    "anchored, market sees 1/2": "if the market knew half of what the model misses",
    "anchored, market sees 1/4": "if the market knew a quarter of it",
    "percentile bootstrap": "describes the effect of refitting, not the true probability",
    "Venn-Abers p0 to p1": "one of the two is calibrated; has no level and no coverage guarantee",
    "MAPIE, of the result": "guarantees to contain the result, 0 or 1, not the probability",
    "crepes, of the closing odds": "guarantees to contain the closing odds; trained on four fifths of the fights",
}
"""Notes on methods whose intervals are not intervals of the true probability."""


def available() -> dict[str, Method]:
    """Return the methods whose packages are installed; `pip install 'cornerman[benchmarks]'` installs all."""
    return {
        name: method
        for name, method in METHODS.items()
        if name not in NEEDS or importlib.util.find_spec(NEEDS[name]) is not None
    }


def _events_before(matrix: TrainingMatrix, fraction: float) -> NDArray[np.bool_]:
    """Return a mask of the earlier events, with about `fraction` of the fights."""
    return np.asarray(matrix.date < np.sort(matrix.date)[int(fraction * len(matrix))])


def predict(ensemble: Ensemble, matrix: TrainingMatrix) -> list[FightPrediction]:
    """Return the ensemble's predictions as in production, with the corner where it is known."""
    manager = ProductionEnsembleManager.from_ensemble(ensemble, create_production_ensemble_config(bootstrap_samples=0))
    return manager.predict_fights(
        matrix.X,
        [(f"first {row}", f"second {row}") for row in range(len(matrix))],
        corners=_corners(matrix),
        experience=matrix.experience.tolist(),
        levels=LEVELS,
    )


def _corners(matrix: TrainingMatrix) -> list[Corner]:
    return ["red" if known else "unknown" for known in matrix.corner_known]


def _probabilities(answers: list[FightPrediction]) -> Floats:
    return np.array([answer.probability for answer in answers])


def _around(probability: Floats, half_width: Floats) -> Bounds:
    return expit(logit(probability) - half_width), expit(logit(probability) + half_width)


def _replica_logits(ensemble: Ensemble, matrix: TrainingMatrix) -> Floats:
    """Return the calibrated logit of every replica for every fight, (replicas, n)."""
    if ensemble.replicas is None:
        raise ValueError("the bootstrap's methods need replicas: train with bootstrap_samples of 10 or more")
    both = pd.concat([matrix.X, mirror(matrix.X)], ignore_index=True)
    sampler = ThreadSafeBootstrapSampler(create_bootstrap_config(ensemble.n_replicas))
    p = sampler.sample_bootstrap_predictions(ensemble.replicas.by_name(), both, ensemble.weights)
    margins = mirror_averaged_margin(p[:, : len(matrix)], p[:, len(matrix) :])
    return ensemble.calibration(margin_to_logit(margins), matrix.corner_known.astype(np.int8))
