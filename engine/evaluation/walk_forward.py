"""Walk-forward forecasts: train on all fights before a day, forecast those up to the next refit, and repeat.

A forecast uses only what was known on the day of the last refit or, for features and odds, on the day of the fight:
model, calibration, half-widths, recalibration of the market and baseline are all fitted on strictly earlier days. This
module makes the forecasts; `engine.evaluation.metrics` scores them.

Forecasts are a table with one row a fight, in order of date. All columns are float64, NaN if there is no value, except:
date and trained_before (datetime64; the model used no data of that day or later), event (str), won (int8, 1 if the
first-listed fighter won), experience and lagging_experience (int64) and corner_known (bool). The others:

    red_odds, blue_odds, red_early_odds, blue_early_odds    decimal prices of the first- and second-listed fighter
    market                  de-vigged closing probability of the first-listed
    recalibrated_market     the same after the Platt slope of the market on earlier fights
    statistics_only         the ensemble's, with the official corner if the log has it
    cornerless              the ensemble's without any corner, as for the fights of an odds feed
    market_aware            the ensemble's with closing odds
    early_market_aware      the ensemble's with early odds
    lagging                 as statistics_only, from the states of the last refit (`engine.evaluation.served_rows`)
    lagging_cornerless      as cornerless, from these states
    state_days              days from the last fight that these states know
    reanchored, reanchored_cornerless
                            as statistics_only and cornerless, of a model that is re-anchored after each event
    ridge                   the ridge regression's
    rating                  the rating's alone, which has learnt from past closing odds and results
    results_rating          the same from results alone: statistics only

`statistics_only` is a name from before ratings: the ensemble of a fight log has learnt from past fights' odds, never
from the fight's own. The three of lagging states, lagging_experience and the two ratings are absent for a ready feature
matrix. For each of the ensemble's forecasts there are bounds `{name}_lower_{percent}` and `{name}_upper_{percent}` at
every level.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.arrays import Floats
from engine.data.feature_matrix import TrainingMatrix
from engine.ensemble import Corner, ProductionEnsembleManager, create_production_ensemble_config
from engine.errors import ValidationError
from engine.evaluation.baseline import rating_forecast, ridge_forecast
from engine.evaluation.reanchored_forecasts import reanchored_forecasts
from engine.intervals.half_widths import MIN_PRICED_FIGHTS
from engine.market.devigging import devig
from engine.model.prediction import FightPrediction
from engine.model.trained_ensemble import Ensemble
from engine.statistics.calibration import fit_logistic
from engine.statistics.complements import logit_to_probability
from engine.training.data_diagnostics import INTERVAL_FIGURES
from engine.training.soft_labels import market_logit

LEVELS = (0.68, 0.8, 0.95)
"""Confidence levels of the bounds."""
RATING_FORECASTS = ("rating", "results_rating")
"""Forecasts of the rating filters alone, in the order of `engine.data.rated_log.RATING_COLUMNS`."""
NO_FIGHTS_MESSAGE = "no decided fight falls into the days of the backtest: check its first day and its end"
ENSEMBLE_FORECASTS = ("statistics_only", "cornerless", "market_aware", "early_market_aware")
LAGGING_FORECASTS = ("lagging", "lagging_cornerless")
"""Forecasts of `statistics_only` and `cornerless` from states that were not updated."""


@dataclass(frozen=True, slots=True)
class Period:
    """The days of one refit: from `start`, whose fights the model must not use, up to but without `end`."""

    start: datetime.date
    end: datetime.date


@dataclass(frozen=True, slots=True, eq=False)
class LaggingRows:
    """What `engine.evaluation.served_rows` calls lagging rows; n of them.

    Attributes
    ----------
    X
        Features by name, float64.
    experience
        Earlier fights of the less experienced fighter that the state knows, int64 (n,).
    state_days
        Days from the state's last fight to the fight, float64 (n,).
    """

    X: pd.DataFrame
    experience: NDArray[np.int64]
    state_days: Floats

    def take(self, rows: NDArray[np.bool_]) -> LaggingRows:
        """Return the rows of a mask."""
        return LaggingRows(self.X.loc[rows].reset_index(drop=True), self.experience[rows], self.state_days[rows])


@dataclass(frozen=True, slots=True, eq=False)
class FightSet:
    """Fights for a walk-forward evaluation.

    Attributes
    ----------
    fights
        The fights, n, with features of the day before each.
    early_odds
        Early decimal odds, float64 (n, 2), NaN if unknown.
    lagging
        Their rows from states that were not updated; None for a ready feature matrix.
    ratings
        Log-odds of the rating filters before each fight, float64 (n, len(RATING_COLUMNS)); None for a ready feature
        matrix.
    """

    fights: TrainingMatrix
    early_odds: Floats
    lagging: LaggingRows | None = None
    ratings: Floats | None = None

    def rows_during(self, period: Period) -> NDArray[np.bool_]:
        """Return the mask of the fights of a period, (n,)."""
        date = self.fights.date
        return np.asarray((date >= np.datetime64(period.start)) & (date < np.datetime64(period.end)))

    def during(self, period: Period) -> FightSet:
        """Return the fights of a period."""
        rows = self.rows_during(period)
        lagging = None if self.lagging is None else self.lagging.take(rows)
        ratings = None if self.ratings is None else self.ratings[rows]
        return FightSet(self.fights.take(rows), self.early_odds[rows], lagging, ratings)

    def select(self, columns: Sequence[str]) -> FightSet:
        """Return the same fights with these features only."""
        lagging = self.lagging
        if lagging is not None:
            lagging = replace(lagging, X=lagging.X[list(columns)])
        return replace(self, fights=self.fights.select(columns), lagging=lagging)


REANCHORED_FORECASTS = ("reanchored", "reanchored_cornerless")
OUT_OF_FOLD = "out_of_fold_"
"""Prefix of the columns with the training's own figures."""

Forecaster = Callable[[TrainingMatrix, FightSet], pd.DataFrame]
"""Trains on fights and returns the forecast columns of later ones."""


def bound_column(forecast: str, side: str, level: float) -> str:
    """Return the column name of a bound; `side` is `lower` or `upper`."""
    return f"{forecast}_{side}_{level:.0%}".rstrip("%")


def refit_periods(start: datetime.date, end: datetime.date, refit_months: int) -> Iterator[Period]:
    """Split the days from `start` up to but without `end` into periods of `refit_months` calendar months.

    Raises
    ------
    ValidationError
        If there are no days, the months are below 1, or the first day does not exist in every month.
    """
    if not start < end:
        raise ValidationError(f"a backtest needs its first day before its end, not {start} and {end}")
    if refit_months < 1 or start.day > 28:
        raise ValidationError(
            f"refit_months must be at least 1, not {refit_months}, and the first day at most a 28th, not {start}"
        )
    while start < end:
        months = start.year * 12 + start.month - 1 + refit_months
        following = start.replace(year=months // 12, month=months % 12 + 1)
        yield Period(start, min(following, end))
        start = following


def walk_forward(fight_set: FightSet, periods: Iterable[Period], forecast: Forecaster) -> pd.DataFrame:
    """Return the forecasts of every fight in `periods`, each made from fights before its period.

    Raises
    ------
    ValidationError
        If no fight falls into the periods. Errors of `forecast` are passed on.
    """
    tables = [
        forecast_period(fight_set, period, forecast) for period in periods if len(fight_set.during(period).fights)
    ]
    if not tables:
        raise ValidationError(NO_FIGHTS_MESSAGE)
    return pd.concat(tables, ignore_index=True)


def forecast_period(fight_set: FightSet, period: Period, forecast: Forecaster) -> pd.DataFrame:
    """Return the forecasts of one period with fights.

    Raises
    ------
    ValidationError
        If there is no fight before the period. Errors of `forecast` are passed on.
    """
    past, later = fight_set.fights.before(period.start), fight_set.during(period)
    if not len(past):
        raise ValidationError(f"no decided fight before {period.start} to train on: start on a later day")
    baselines = {"ridge": ridge_forecast(past, later.fights)}
    if fight_set.ratings is not None and later.ratings is not None:
        earlier = fight_set.ratings[: len(past)]
        baselines |= {
            name: rating_forecast(earlier[:, column], past, later.ratings[:, column], later.fights)
            for column, name in enumerate(RATING_FORECASTS)
        }
    table = pd.concat([fight_columns(past, later), pd.DataFrame(baselines), forecast(past, later)], axis=1)
    return table.assign(trained_before=pd.Timestamp(period.start))


def ensemble_forecasts(ensemble: Ensemble, later: FightSet) -> pd.DataFrame:
    """Return the forecast columns of a trained ensemble, predicted through the same interface as in production."""
    manager = ProductionEnsembleManager.from_ensemble(ensemble, create_production_ensemble_config(bootstrap_samples=0))
    fights = later.fights
    corners: list[Corner] = ["red" if known else "unknown" for known in fights.corner_known]

    unknown: list[Corner] = ["unknown"] * len(fights)

    def predict(
        corner: list[Corner], market: Floats | None, rows: TrainingMatrix | LaggingRows
    ) -> list[FightPrediction]:
        return manager.predict_fights(
            rows.X,
            [("first", "second")] * len(fights),
            corners=corner,
            experience=rows.experience.tolist(),
            market_probability=None if market is None else market.tolist(),
            levels=LEVELS,
        )

    official = predict(corners, _market(np.column_stack([fights.red_odds, fights.blue_odds])), fights)
    cornerless = predict(unknown, _market(later.early_odds), fights)
    forecasts = dict(zip(ENSEMBLE_FORECASTS, (official, cornerless) * 2, strict=True))
    if later.lagging is not None:
        forecasts |= {
            name: predict(corner, None, later.lagging)
            for name, corner in zip(LAGGING_FORECASTS, (corners, unknown), strict=True)
        }
    columns: dict[str, list[float]] = {}
    for name, predictions in forecasts.items():
        predicted = [
            _probability_and_bounds(prediction, aware=name.endswith("market_aware")) for prediction in predictions
        ]
        columns[name] = [probability for probability, _ in predicted]
        for level in LEVELS:
            columns[bound_column(name, "lower", level)] = [bounds[level][0] for _, bounds in predicted]
            columns[bound_column(name, "upper", level)] = [bounds[level][1] for _, bounds in predicted]
    return pd.DataFrame(columns | _reanchored_columns(ensemble, fights, columns) | _out_of_fold_columns(ensemble))


def _reanchored_columns(
    ensemble: Ensemble, fights: TrainingMatrix, columns: dict[str, list[float]]
) -> dict[str, list[float]]:
    """Return the columns of the re-anchored forecasts; none for a model whose closes were not measured."""
    known, unknown = (np.array(columns[name]) for name in ("statistics_only", "cornerless"))
    found = reanchored_forecasts(ensemble.half_widths, fights, known, unknown, LEVELS)
    made: dict[str, list[float]] = {}
    for name, (probability, intervals) in zip(REANCHORED_FORECASTS, found or (), strict=False):
        made[name] = probability.tolist()
        for level, (lower, upper) in intervals.items():
            made[bound_column(name, "lower", level)] = lower.tolist()
            made[bound_column(name, "upper", level)] = upper.tolist()
    return made


def _out_of_fold_columns(ensemble: Ensemble) -> dict[str, float]:
    """Return the training's out-of-fold coverage and width of intervals, as constant columns."""
    metrics = ensemble.manifest.get("metrics", {})
    return {f"{OUT_OF_FOLD}{name}": metrics[name] for name in INTERVAL_FIGURES if name in metrics}


def _probability_and_bounds(
    prediction: FightPrediction, *, aware: bool
) -> tuple[float, dict[float, tuple[float, float]]]:
    if not aware:
        return prediction.probability, {level: prediction.intervals.get(level, (np.nan, np.nan)) for level in LEVELS}
    if prediction.market_aware is None:
        return np.nan, dict.fromkeys(LEVELS, (np.nan, np.nan))
    return prediction.market_aware.probability, prediction.market_aware.band


def fight_columns(past: TrainingMatrix, later: FightSet) -> pd.DataFrame:
    """Return the columns that need no model, with the market as recalibrated on `past`."""
    fights = later.fights
    logit = market_logit(fights)
    lagging = later.lagging
    served = {} if lagging is None else {"state_days": lagging.state_days, "lagging_experience": lagging.experience}
    return pd.DataFrame(
        {
            "date": fights.date.astype("datetime64[s]"),
            "event": fights.event,
            "won": fights.won,
            "experience": fights.experience,
            "corner_known": fights.corner_known,
            "red_odds": fights.red_odds,
            "blue_odds": fights.blue_odds,
            "red_early_odds": later.early_odds[:, 0],
            "blue_early_odds": later.early_odds[:, 1],
            "market": logit_to_probability(logit),
            "recalibrated_market": logit_to_probability(market_slope(past) * logit),
            **served,
        }
    )


def market_slope(past: TrainingMatrix) -> float:
    """Return the slope of results on the market's logit, NaN if too few fights had odds."""
    logit = market_logit(past)
    priced = np.isfinite(logit)
    if priced.sum() < MIN_PRICED_FIGHTS:
        return np.nan
    return float(fit_logistic(logit[priced, None], past.won[priced])[0])


def _market(odds: Floats) -> Floats:
    """Return the de-vigged probability of the first-listed fighter, (n,), NaN if a price is missing."""
    priced = np.isfinite(odds).all(axis=1)
    market = np.full(len(odds), np.nan)
    if priced.any():
        market[priced] = devig(odds[priced])[:, 0]
    return market
