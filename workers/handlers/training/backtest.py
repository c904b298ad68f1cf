"""Handler of `Backtest`: a walk-forward backtest on several workers; each period is a part (`fan_out`)."""

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
from engine.data.features import model_columns
from engine.data.fight_log import read_fight_log
from engine.evaluation.backtest import (
    BacktestConfig,
    backtest_data_from_matrix,
    backtest_data_with_lagging_rows,
    evaluation_periods,
    forecast_fights,
    train_forecaster,
)
from engine.evaluation.metrics import BacktestEvaluation, evaluate_forecasts
from engine.evaluation.walk_forward import FightSet, LaggingRows, forecast_period
from engine.model.bundle import Bundle
from engine.resources.chunked_arrays import NamedArrays
from engine.training.matrix_arrays import matrix_from_arrays, matrix_to_arrays
from engine.training.train import ProgressCallback
from ledger.contracts.job_reports.backtest_report import BacktestReport
from ledger.contracts.jobs import Backtest, BacktestPart
from ledger.contracts.reports import PartReport
from workers.handlers.training.fan_out import FanOutState, gather, prepare, resume_state, run_part
from workers.handlers.training.train_ensemble import TIME_LIMIT_MARGIN_SECONDS
from workers.handlers.training.training_data import (
    config_from_recipe,
    pin_data,
    read_job_matrix,
    recipe_from_plan,
    training_config,
)
from workers.jobs.context import JobContext
from workers.jobs.operator_overrides import limit_threads
from workers.models.model_store import PREPARED

_DAYS = ("first_day", "last_day", "refit_months")


def backtest(job: Backtest, context: JobContext) -> BacktestReport:
    """Run a walk-forward backtest. Raises EngineError, and as `fan_out.gather` does."""
    with resume_state(context, job.max_training_time_seconds) as state:
        return _backtest(job, context, state)


def _backtest(job: Backtest, context: JobContext, state: FanOutState) -> BacktestReport:
    state, prepared = prepare(context, state, lambda: _prepare(job, context))
    fight_set, config = _unpack(prepared)
    parts = [
        BacktestPart(
            of=context.claim.job_id,
            prepared=prepared.digest,
            name=f"period-{index}",
            fights=len(fight_set.fights),
            columns=len(fight_set.fights.X.columns),
            replicas=job.bootstrap_samples,
            fits=job.fits + job.folds,
            trees=job.forest_trees,
            replica_trees=job.replica_forest_trees,
            max_training_time_seconds=job.max_training_time_seconds,
            max_memory_mb=job.max_memory_mb,
            deadline=job.deadline,
        )
        for index in range(len(evaluation_periods(fight_set, config)))
    ]
    results = gather(context, state, parts, [1] * len(parts), job.max_training_time_seconds)
    forecasts = pd.concat([_table(results[part.name]) for part in parts], ignore_index=True)
    return backtest_report(evaluate_forecasts(forecasts), matrix_digest(fight_set.fights))


def backtest_part(job: BacktestPart, context: JobContext) -> PartReport:
    """Forecast one period of a backtest. Raises EngineError, and as `fan_out.run_part` does."""

    def make(prepared: Bundle, step: Callable[[], None]) -> NamedArrays:
        fight_set, config = _unpack(prepared)
        period = evaluation_periods(fight_set, config)[int(job.name.partition("-")[2])]
        training = replace(
            config.training,
            max_training_time_s=context.remaining_seconds() - TIME_LIMIT_MARGIN_SECONDS,
            max_memory_mb=min(job.max_memory_mb, context.settings.child_max_memory_mb or job.max_memory_mb),
            n_jobs=limit_threads(context.claim.controls, context.settings.training_threads),
        )
        table = forecast_period(fight_set, period, train_forecaster(training, lambda stage, done, total: step()))
        return {f"table/{name}": _plain(table[name]) for name in table}

    return run_part(job, context, make)


def backtest_in_process(
    job: Backtest, on_progress: ProgressCallback, within_seconds: float, records: Path | None = None, n_jobs: int = -1
) -> BacktestReport:
    """Run a backtest in this process, without parts.

    Parameters
    ----------
    job : Backtest
        The data and the settings of the backtest.
    on_progress : callable
        Receives the stage, the finished steps and the total number of steps.
    within_seconds : float
        Time limit in addition to that of the job.
    records : Path, optional
        CSV file for the forecasts.
    n_jobs : int
        Number of threads; -1 for one per core.

    Raises
    ------
    EngineError
    """
    job = pin_data(job)
    on_progress("reading", 0, 1)
    fight_set = _read_fight_set(job)
    plan = training_config(job, within_seconds, n_jobs)
    config = BacktestConfig(job.first_day, job.last_day, job.refit_months, plan)
    forecasts = forecast_fights(fight_set, config, on_progress)
    if records is not None:
        forecasts.to_csv(records, index=False)
    return backtest_report(evaluate_forecasts(forecasts), matrix_digest(fight_set.fights))


def backtest_report(evaluation: BacktestEvaluation, data_digest: str) -> BacktestReport:
    """Return the report of an evaluation."""
    figures = {name: getattr(evaluation, name) for name in evaluation.__slots__}
    return msgspec.convert(
        {"kind": "backtest_report", "data_digest": data_digest, **figures}, BacktestReport, from_attributes=True
    )


def _prepare(job: Backtest, context: JobContext) -> Bundle:
    """Read the fights, check the days of the backtest, and write the arrays that all parts need to the store."""
    job = pin_data(job)
    context.progress("reading", 0, 1)
    fight_set = _read_fight_set(job)
    days = {name: msgspec.to_builtins(getattr(job, name)) for name in _DAYS}
    evaluation_periods(fight_set, BacktestConfig(job.first_day, job.last_day, job.refit_months))
    arrays = matrix_to_arrays(fight_set.fights) | {"early_odds": fight_set.early_odds}
    if fight_set.ratings is not None:
        arrays["ratings"] = fight_set.ratings
    if (lagging := fight_set.lagging) is not None:
        arrays |= {
            "lagging/X": lagging.X.to_numpy(np.float64),
            "lagging/experience": lagging.experience,
            "lagging/state_days": lagging.state_days,
        }
    manifest = {"columns": list(fight_set.fights.X.columns), "recipe": recipe_from_plan(job), "days": days}
    return context.store.write(arrays, manifest, PREPARED)


def _unpack(prepared: Bundle) -> tuple[FightSet, BacktestConfig]:
    arrays, about = prepared.arrays, prepared.manifest
    lagging = None
    if "lagging/X" in arrays:
        lagging = LaggingRows(
            X=pd.DataFrame(np.asarray(arrays["lagging/X"]), columns=about["columns"]),
            experience=np.asarray(arrays["lagging/experience"]),
            state_days=np.asarray(arrays["lagging/state_days"]),
        )
    fight_set = FightSet(
        fights=matrix_from_arrays(arrays, about["columns"]),
        early_odds=np.asarray(arrays["early_odds"]),
        lagging=lagging,
        ratings=np.asarray(arrays["ratings"]) if "ratings" in arrays else None,
    )
    plan = msgspec.convert({"data": "prepared", **about["days"]}, Backtest)
    config = BacktestConfig(plan.first_day, plan.last_day, plan.refit_months, config_from_recipe(about["recipe"]))
    return fight_set, config


def _plain(column: pd.Series[Any]) -> np.ndarray[Any, Any]:
    """Return a column as an array without objects."""
    values = column.to_numpy()
    return values.astype(np.str_) if values.dtype == object or not isinstance(column.dtype, np.dtype) else values


def _table(arrays: NamedArrays) -> pd.DataFrame:
    """Return the table of a part, with its columns in alphabetical order."""
    return pd.DataFrame({name.partition("/")[2]: np.asarray(arrays[name]) for name in arrays})


def _read_fight_set(job: Backtest) -> FightSet:
    """Read the fights up to the last day."""
    end = None if job.last_day is None else job.last_day + datetime.timedelta(days=1)
    if job.matrix is not None:
        matrix = read_job_matrix(Path(job.data), job.matrix)
        return backtest_data_from_matrix(matrix if end is None else matrix.before(end))
    log = read_fight_log(Path(job.data))
    config = BacktestConfig(job.first_day, job.last_day, job.refit_months)
    return backtest_data_with_lagging_rows(
        log if end is None else log.before(end), config, model_columns(past_odds=job.past_odds)
    )
