"""From a `Backtest` to a `BacktestReport`, by as many workers as there are: a period is a part (`fan_out`)."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from engine.data.feature_matrix import matrix_digest
from engine.data.fight_log import read_fight_log
from engine.evaluation.backtest import (
    BacktestConfig,
    forecast_season,
    learnt,
    periods_of,
    season_of_log,
    season_of_matrix,
)
from engine.evaluation.metrics import Evaluation, evaluate
from engine.evaluation.walk_forward import Season, forecast_period
from engine.model.bundle import Bundle
from engine.resources.chunked_arrays import Arrays
from engine.training.matrix_arrays import arrays_of_matrix, matrix_of_arrays
from engine.training.train import Progress
from ledger.contracts.backtest_report import BacktestReport
from ledger.contracts.jobs import Backtest, BacktestPart
from ledger.contracts.reports import PartReport
from workers.handlers.training.fan_out import Note, gather, looking, prepare, work_off
from workers.handlers.training.train_ensemble import SAFETY_SECONDS
from workers.handlers.training.training_data import check_data, config_of, matrix_of, recipe_of, training_config
from workers.jobs.context import JobContext
from workers.jobs.operator_overrides import threads
from workers.models.model_store import PREPARED

_DAYS = ("first_day", "last_day", "refit_months")


def backtest(job: Backtest, context: JobContext) -> BacktestReport:
    """Run a walk-forward backtest. Raises EngineError, and as `fan_out.gather` does."""
    with looking(context, job.max_training_time_seconds) as note:
        return _backtest(job, context, note)


def _backtest(job: Backtest, context: JobContext, note: Note) -> BacktestReport:
    note, prepared = prepare(context, note, lambda: _prepare(job, context))
    season, config = _unpack(prepared)
    parts = [
        BacktestPart(
            of=context.claim.job_id,
            prepared=prepared.digest,
            name=f"period-{index}",
            fights=len(season.fights),
            columns=len(season.fights.X.columns),
            replicas=job.bootstrap_samples,
            fits=job.fits + job.folds,
            trees=job.forest_trees,
            replica_trees=job.replica_forest_trees,
            max_training_time_seconds=job.max_training_time_seconds,
            max_memory_mb=job.max_memory_mb,
            deadline=job.deadline,
        )
        for index in range(len(periods_of(season, config)))
    ]
    results = gather(context, note, parts, [1] * len(parts), job.max_training_time_seconds)
    forecasts = pd.concat([_table(results[part.name]) for part in parts], ignore_index=True)
    return report_of(evaluate(forecasts), matrix_digest(season.fights))


def backtest_part(job: BacktestPart, context: JobContext) -> PartReport:
    """Forecast one period of a backtest. Raises EngineError, and as `fan_out.run_part` does."""

    def make(prepared: Bundle, step: Callable[[], None]) -> Arrays:
        season, config = _unpack(prepared)
        period = periods_of(season, config)[int(job.name.partition("-")[2])]
        training = replace(
            config.training,
            max_training_time_s=context.remaining_seconds() - SAFETY_SECONDS,
            max_memory_mb=min(job.max_memory_mb, context.settings.memory_limit_mb or job.max_memory_mb),
            n_jobs=threads(context.claim.controls, context.settings.training_threads),
        )
        table = forecast_period(season, period, learnt(training, lambda stage, done, total: step()))
        return {f"table/{name}": _plain(table[name]) for name in table}

    return work_off(job, context, make)


def backtest_on_file(
    job: Backtest, progress: Progress, within_seconds: float, records: Path | None = None, n_jobs: int = -1
) -> BacktestReport:
    """Run a backtest in this process; write the forecasts as CSV to `records`, if given. Raises EngineError."""
    check_data(job)
    progress("reading", 0, 1)
    season = _season(job)
    plan = training_config(job, within_seconds, n_jobs)
    config = BacktestConfig(job.first_day, job.last_day, job.refit_months, plan)
    forecasts = forecast_season(season, config, progress)
    if records is not None:
        forecasts.to_csv(records, index=False)
    return report_of(evaluate(forecasts), matrix_digest(season.fights))


def report_of(evaluation: Evaluation, data_digest: str) -> BacktestReport:
    """Return the report of an evaluation."""
    figures = {name: getattr(evaluation, name) for name in evaluation.__slots__}
    return msgspec.convert(
        {"kind": "backtest_report", "data_digest": data_digest, **figures}, BacktestReport, from_attributes=True
    )


def _prepare(job: Backtest, context: JobContext) -> Bundle:
    """Read the fights, check the days of the backtest, and write the arrays that all parts need to the store."""
    check_data(job)
    context.progress("reading", 0, 1)
    season = _season(job)
    days = {name: msgspec.to_builtins(getattr(job, name)) for name in _DAYS}
    periods_of(season, BacktestConfig(job.first_day, job.last_day, job.refit_months))
    arrays = arrays_of_matrix(season.fights) | {"early_odds": season.early_odds}
    manifest = {"columns": list(season.fights.X.columns), "recipe": recipe_of(job), "days": days}
    return context.store.write(arrays, manifest, PREPARED)


def _unpack(prepared: Bundle) -> tuple[Season, BacktestConfig]:
    arrays, about = prepared.arrays, prepared.manifest
    season = Season(matrix_of_arrays(arrays, about["columns"]), np.asarray(arrays["early_odds"]))
    plan = msgspec.convert({"data": "prepared", **about["days"]}, Backtest)
    config = BacktestConfig(plan.first_day, plan.last_day, plan.refit_months, config_of(about["recipe"]))
    return season, config


def _plain(column: pd.Series[Any]) -> np.ndarray[Any, Any]:
    """Return a column as an array without objects."""
    values = column.to_numpy()
    return values.astype(np.str_) if values.dtype == object or not isinstance(column.dtype, np.dtype) else values


def _table(arrays: Arrays) -> pd.DataFrame:
    """Return the table of a part, with its columns in alphabetical order."""
    return pd.DataFrame({name.partition("/")[2]: np.asarray(arrays[name]) for name in arrays})


def _season(job: Backtest) -> Season:
    """Read the fights up to the last day."""
    end = None if job.last_day is None else job.last_day + datetime.timedelta(days=1)
    if job.matrix is not None:
        matrix = matrix_of(Path(job.data), job.matrix)
        return season_of_matrix(matrix if end is None else matrix.before(end))
    log = read_fight_log(Path(job.data))
    return season_of_log(log if end is None else log.before(end))
