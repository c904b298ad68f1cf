"""The backtest: walk-forward forecasts of past fights, and their metrics.

Covers the choice of fights and models, and the progress of the work. `engine.evaluation.walk_forward` makes the
forecasts, `engine.evaluation.metrics` scores them.
"""

from __future__ import annotations

import datetime
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from engine.data.feature_matrix import TrainingMatrix
from engine.data.features import MODEL_COLUMNS, build_matrix
from engine.data.fight_log import FightLog
from engine.data.rated_log import RATING_COLUMNS
from engine.errors import TrainingTimeoutError, ValidationError
from engine.evaluation.metrics import BacktestEvaluation, evaluate_forecasts
from engine.evaluation.served_rows import with_lagging_rows
from engine.evaluation.walk_forward import (
    NO_FIGHTS_MESSAGE,
    FightSet,
    Forecaster,
    Period,
    ensemble_forecasts,
    refit_periods,
    walk_forward,
)
from engine.training.train import ProgressCallback, TrainingConfig, train_ensemble


@dataclass(frozen=True, slots=True)
class BacktestConfig:
    """The days and the training settings of a backtest.

    Attributes
    ----------
    first_day : date or None
        First scored day; default: 1 January of the median fight's year, so that about half of the fights precede it.
    last_day : date or None
        Last scored day, inclusive; default: the day of the last fight.
    refit_months : int
        Calendar months between two refits.
    training : TrainingConfig
        Training settings; the time limit holds for all refits together.
    """

    first_day: datetime.date | None = None
    last_day: datetime.date | None = None
    refit_months: int = 12
    training: TrainingConfig = field(default_factory=TrainingConfig)


def backtest_data_from_log(
    log: FightLog, columns: Sequence[str] = MODEL_COLUMNS, *, keep_gaps: bool = False
) -> FightSet:
    """Return the decided fights of a log with the features of a model, and their early odds.

    Parameters
    ----------
    log
        The fight log.
    columns
        The features.
    keep_gaps
        As in `engine.data.features.feature_rows`.
    """
    early = log.fights.loc[log.is_label, ["red_early_decimal_odds", "blue_early_decimal_odds"]].to_numpy(np.float64)
    matrix = build_matrix(log, keep_gaps=keep_gaps)
    ratings = matrix.X[list(RATING_COLUMNS)].to_numpy(np.float64)
    return FightSet(matrix.select(columns), early, ratings=ratings)


def backtest_data_with_lagging_rows(
    log: FightLog, config: BacktestConfig, columns: Sequence[str] = MODEL_COLUMNS
) -> FightSet:
    """Return the fights as `backtest_data_from_log` does, and their rows from the states of the last refit."""
    fight_set = backtest_data_from_log(log, columns)
    return with_lagging_rows(fight_set, log, evaluation_periods(fight_set, config))


def backtest_data_from_matrix(matrix: TrainingMatrix) -> FightSet:
    """Return the fights of a ready feature matrix, without early odds."""
    return FightSet(matrix, np.full((len(matrix), 2), np.nan))


def evaluation_periods(fight_set: FightSet, config: BacktestConfig) -> tuple[Period, ...]:
    """Return the periods that contain fights. Raises ValidationError if there are none."""
    date = fight_set.fights.date
    first = config.first_day or datetime.date(date[len(date) // 2].astype(datetime.date).year, 1, 1)
    last = config.last_day or date[-1].astype(datetime.date)
    days = refit_periods(first, last + datetime.timedelta(days=1), config.refit_months)
    periods = tuple(period for period in days if len(fight_set.during(period).fights))
    if not periods:
        raise ValidationError(NO_FIGHTS_MESSAGE)
    return periods


def train_forecaster(
    training: TrainingConfig, on_progress: ProgressCallback = lambda stage, done, total: None
) -> Forecaster:
    """Return a forecaster that trains an ensemble with the settings `training`."""
    return lambda past, later: ensemble_forecasts(train_ensemble(past, training, on_progress=on_progress), later)


def forecast_fights(
    fight_set: FightSet, config: BacktestConfig, on_progress: ProgressCallback = lambda stage, done, total: None
) -> pd.DataFrame:
    """Return the walk-forward forecasts of the fights; `engine.evaluation.walk_forward` describes the columns.

    Parameters
    ----------
    fight_set
        The fights.
    config
        Days and training settings.
    on_progress
        Called with a stage, the number of refits done and their total over all periods.

    Raises
    ------
    ValidationError
        If no fight falls into the days. Errors of the training are passed on.
    """
    periods = evaluation_periods(fight_set, config)
    ends_at = time.monotonic() + config.training.max_training_time_s
    number = itertools.count()

    def forecast(past: TrainingMatrix, later: FightSet) -> pd.DataFrame:
        index = next(number)
        left_seconds = ends_at - time.monotonic()
        if left_seconds <= 0:
            raise TrainingTimeoutError(
                f"the backtest reached its limit of {config.training.max_training_time_s:g} s before "
                f"{periods[index].start}: raise it, or use fewer fits, folds or refits"
            )
        training = replace(config.training, max_training_time_s=left_seconds)
        stage = f"model {index + 1} of {len(periods)}, on fights before {periods[index].start}"
        return train_forecaster(
            training, lambda _, done, total: on_progress(stage, index * total + done, len(periods) * total)
        )(past, later)

    return walk_forward(fight_set, periods, forecast)


def run_backtest(
    fight_set: FightSet, config: BacktestConfig, on_progress: ProgressCallback = lambda stage, done, total: None
) -> BacktestEvaluation:
    """Forecast past fights and evaluate the forecasts. Raises as `forecast_fights` and `evaluate_forecasts` do."""
    return evaluate_forecasts(forecast_fights(fight_set, config, on_progress))
