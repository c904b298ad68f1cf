"""Corrections of the market that were tried, walk-forward, on a fight log.

    python -m benchmarks.accuracy.market_variants --data FOLDER

For each year from 2016 to mid-2023 each variant is fitted on all earlier priced fights and scored on the year's: mean
change of the log loss against the market's, with a 95% interval clustered by event. m is the market's logit, z the
rating's, calibrated on earlier fights. The fights since 2023-07 are left out: variants are compared without them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from benchmarks.accuracy.market_aware import FIRST_YEAR, LATE
from engine.arrays import Floats
from engine.data.feature_matrix import TrainingMatrix
from engine.data.features import MODEL_COLUMNS, build_matrix
from engine.data.fight_log import read_fight_log
from engine.model.market_adjustment import LinearCorrection, fit_market_model, side_differences
from engine.resources.blas_threads import one_blas_thread
from engine.statistics.calibration import fit_logistic
from engine.statistics.scores import clustered_mean
from engine.training.soft_labels import market_logit

RATING = "diff_rating"
RATINGS = (RATING, "diff_results_rating")
CLASSES = (1, 3, 6)  # first of each class of experience after that of debutants

Variant = Callable[[TrainingMatrix, TrainingMatrix], Floats]
"""From earlier fights and a year's to the terms that are added to the year's market logits."""


def differences(fights: TrainingMatrix) -> Floats:
    """Return the differences that a correction sees, (n, k)."""
    return np.asarray(side_differences(fights.X.to_numpy(np.float64), list(fights.X.columns)))


def corner(fights: TrainingMatrix) -> NDArray[np.int8]:
    """Return the corner of the first-listed fighter, (n,)."""
    return fights.corner_known.astype(np.int8)


def regression(
    columns: Callable[[TrainingMatrix, Floats], Floats], past: TrainingMatrix, now: TrainingMatrix
) -> Floats:
    """Regress results on columns of a matrix and its z, without a prior."""
    ratings = [np.column_stack([fights.X[RATING].to_numpy(np.float64), corner(fights)]) for fights in (past, now)]
    calibration = fit_logistic(ratings[0], past.won)
    before, after = (columns(fights, own @ calibration) for fights, own in zip((past, now), ratings, strict=True))
    return np.asarray(after @ fit_logistic(before, past.won, market_logit(past)))


def slope(fights: TrainingMatrix, _rating: Floats) -> Floats:
    """Return m: the market's slope."""
    return market_logit(fights)[:, None]


def distance(fights: TrainingMatrix, rating: Floats) -> Floats:
    """Return z - m."""
    return (rating - market_logit(fights))[:, None]


def slope_and_distance(fights: TrainingMatrix, rating: Floats) -> Floats:
    """Return m and z - m."""
    return np.column_stack([slope(fights, rating), distance(fights, rating)])


def distance_by_class(fights: TrainingMatrix, rating: Floats) -> Floats:
    """Return z - m, one column for each class of experience."""
    group = np.digitize(fights.experience, CLASSES)[:, None]
    return np.asarray(distance(fights, rating) * (group == np.arange(len(CLASSES) + 1)))


def trees(past: TrainingMatrix, now: TrainingMatrix) -> Floats:
    """Return the correction of boosted trees, as the product had it, with its full weight."""
    values, market = differences(past), market_logit(past)
    rows = xgb.QuantileDMatrix(
        np.concatenate([values, -values]),
        np.concatenate([past.won, 1 - past.won]),
        base_margin=np.concatenate([market, -market]),
        max_bin=64,
        nthread=1,
    )
    settings = {"objective": "binary:logistic", "tree_method": "hist", "max_depth": 2, "max_bin": 64, "base_score": 0.5}
    booster = xgb.train(settings | {"learning_rate": 0.03, "nthread": 1}, rows, num_boost_round=60)
    forward, mirrored = (
        booster.predict(xgb.DMatrix(sign * differences(now)), output_margin=True) for sign in (1.0, -1.0)
    )
    return np.asarray((forward - mirrored) / 2.0, dtype=np.float64)


def linear(past: TrainingMatrix, now: TrainingMatrix, *, corners: bool = True) -> Floats:
    """Return the linear correction with its full weight."""
    sides = corner(past) if corners else np.zeros(len(past), dtype=np.int8)
    fitted = LinearCorrection.fit(differences(past), sides, market_logit(past), past.won)
    return fitted(differences(now), corner(now))


def without_ratings(past: TrainingMatrix, now: TrainingMatrix) -> Floats:
    """Return the linear correction that sees no ratings."""
    columns = [name for name in past.X.columns if name not in RATINGS]
    return linear(past.select(columns), now.select(columns))


def mean_of_both(past: TrainingMatrix, now: TrainingMatrix) -> Floats:
    """Return the mean of the linear correction and that of trees."""
    return (linear(past, now) + trees(past, now)) / 2.0


def half(past: TrainingMatrix, now: TrainingMatrix) -> Floats:
    """Return half of the linear correction."""
    return linear(past, now) / 2.0


def product(past: TrainingMatrix, now: TrainingMatrix) -> Floats:
    """Return the product's: the linear correction with the weight that is learned walk-forward."""
    model = fit_market_model(past, market_logit(past))
    assert model is not None  # noqa: S101 - every year has enough priced fights before it
    return model.correction_for(differences(now), corner(now))


OF_RATING: dict[str, Variant] = {
    "w (z - m)": partial(regression, distance),
    "w (z - m), w by experience": partial(regression, distance_by_class),
    "a m": partial(regression, slope),
    "a m + w (z - m)": partial(regression, slope_and_distance),
    "linear, no ratings": without_ratings,
}
VARIANTS: dict[str, Variant] = {
    "trees": trees,
    "linear, no corner": partial(linear, corners=False),
    "linear": linear,
    "half of linear": half,
    "mean of linear and trees": mean_of_both,
    "weight x linear (the product's)": product,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy.market_variants", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of a fight log")
    matrix = build_matrix(read_fight_log(parser.parse_args(arguments).data)).select(MODEL_COLUMNS)
    priced = matrix.take(np.isfinite(market_logit(matrix)) & (matrix.date < LATE))
    years = priced.date.astype("datetime64[Y]").astype(np.int64) + 1970
    tested = priced.take(years >= FIRST_YEAR)
    market = market_logit(tested)
    losses = partial(_losses, tested.won)
    for name, variant in ((OF_RATING if RATING in matrix.X.columns else {}) | VARIANTS).items():
        with one_blas_thread():
            terms = [
                variant(priced.take(years < year), priced.take(years == year))
                for year in np.unique(years[years >= FIRST_YEAR])
            ]
        found = clustered_mean(losses(market + np.concatenate(terms)) - losses(market), tested.event)
        print(f"{name:32s} {found.value:+.4f} [{found.lower:+.4f}, {found.upper:+.4f}]", flush=True)
    return 0


def _losses(won: NDArray[np.int8], logit: Floats) -> Floats:
    return np.asarray(np.logaddexp(0.0, np.where(won == 1, -logit, logit)))


if __name__ == "__main__":
    sys.exit(main())
