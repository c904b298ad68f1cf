"""The backtest: walk forward over past fights and say what the forecasts would have been worth.

Covers which fights are scored, with which models, and how far it is. Forecasts are `engine.evaluation.walk_forward`'s,
figures `engine.evaluation.metrics`'s.
"""

from __future__ import annotations

import datetime
import itertools
import time
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from engine.data.feature_matrix import TrainingMatrix
from engine.data.features import MODEL_COLUMNS, build_matrix
from engine.data.fight_log import FightLog
from engine.errors import TrainingTimeoutError, ValidationError
from engine.evaluation.metrics import Evaluation, evaluate
from engine.evaluation.walk_forward import NO_FIGHT, Forecast, Period, Season, ensemble_columns, schedule, walk_forward
from engine.training.train import Progress, TrainingConfig, train_ensemble


@dataclass(frozen=True, slots=True)
class BacktestConfig:
    """What to score and how to train for it.

    first_day: of the fights that are scored; by default 1 January of the median fight's year, so that about half of
    the fights are left to learn from. last_day: inclusive, by default the last fight's. refit_months: how long a model
    serves. training: its time limit is for all refits together.
    """

    first_day: datetime.date | None = None
    last_day: datetime.date | None = None
    refit_months: int = 12
    training: TrainingConfig = field(default_factory=TrainingConfig)


def season_of_log(log: FightLog, *, keep_gaps: bool = False) -> Season:
    """Return the decided fights of a log with what a model learns from, and their early odds.

    keep_gaps: as in `engine.data.features.feature_rows`.
    """
    fights = log.fights[log.announced.isin(["red", "blue"])]
    early = fights[["red_early_decimal_odds", "blue_early_decimal_odds"]].to_numpy(np.float64)
    return Season(build_matrix(log, keep_gaps=keep_gaps).select(MODEL_COLUMNS), early)


def season_of_matrix(matrix: TrainingMatrix) -> Season:
    """Return the fights of a ready feature matrix; it knows no early odds."""
    return Season(matrix, np.full((len(matrix), 2), np.nan))


def periods_of(season: Season, config: BacktestConfig) -> tuple[Period, ...]:
    """Return the periods in which there are fights. Raises ValidationError where there is none."""
    date = season.fights.date
    first = config.first_day or datetime.date(date[len(date) // 2].astype(datetime.date).year, 1, 1)
    last = config.last_day or date[-1].astype(datetime.date)
    days = schedule(first, last + datetime.timedelta(days=1), config.refit_months)
    periods = tuple(period for period in days if len(season.during(period).fights))
    if not periods:
        raise ValidationError(NO_FIGHT)
    return periods


def learnt(training: TrainingConfig, progress: Progress = lambda stage, done, total: None) -> Forecast:
    """Return the forecast of an ensemble that is trained as `training` says."""
    return lambda past, later: ensemble_columns(train_ensemble(past, training, progress=progress), later)


def forecast_season(
    season: Season, config: BacktestConfig, progress: Progress = lambda stage, done, total: None
) -> pd.DataFrame:
    """Return the walk-forward forecasts of a season; the columns are those of `engine.evaluation.walk_forward`.

    progress: called with a stage, the refits done and their total over all periods. Raises what training raises, and
    ValidationError where no fight falls into the days.
    """
    periods = periods_of(season, config)
    ends_at = time.monotonic() + config.training.max_training_time_s
    number = itertools.count()

    def forecast(past: TrainingMatrix, later: Season) -> pd.DataFrame:
        index = next(number)
        left_seconds = ends_at - time.monotonic()
        if left_seconds <= 0:
            raise TrainingTimeoutError(
                f"the backtest ran out of its {config.training.max_training_time_s:g} s before {periods[index].start}: "
                "allow more, or use fewer fits, folds or refits"
            )
        training = replace(config.training, max_training_time_s=left_seconds)
        stage = f"model {index + 1} of {len(periods)}, on fights before {periods[index].start}"
        return learnt(training, lambda _, done, total: progress(stage, index * total + done, len(periods) * total))(
            past, later
        )

    return walk_forward(season, periods, forecast)


def backtest(
    season: Season, config: BacktestConfig, progress: Progress = lambda stage, done, total: None
) -> Evaluation:
    """Walk forward and evaluate. Raises what `forecast_season` and `engine.evaluation.metrics.evaluate` raise."""
    return evaluate(forecast_season(season, config, progress))
