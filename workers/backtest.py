"""From a `Backtest` to a `BacktestReport`."""

from __future__ import annotations

import datetime
from pathlib import Path

import msgspec

from engine.backtest import BacktestConfig, forecast_season, season_of_log, season_of_matrix
from engine.evaluation import Evaluation, evaluate
from engine.fightlog import read_fight_log
from engine.matrix import matrix_digest
from engine.training import Progress
from engine.walk_forward import Season
from ledger.evaluation import BacktestReport
from ledger.jobs import Backtest
from workers.context import JobContext
from workers.plans import check_data, matrix_of, training_config, within_limit
from workers.switches import threads
from workers.train import SAFETY_SECONDS


def backtest(job: Backtest, context: JobContext) -> BacktestReport:
    """Walk forward and evaluate. Raises what the engine raises."""
    plan = within_limit(job, context.settings.memory_limit_mb)
    within_seconds = context.remaining_seconds() - SAFETY_SECONDS
    n_jobs = threads(context.claim.controls, context.settings.training_threads)
    return backtest_on_file(plan, context.progress, within_seconds, n_jobs=n_jobs)


def backtest_on_file(
    job: Backtest, progress: Progress, within_seconds: float, records: Path | None = None, n_jobs: int = -1
) -> BacktestReport:
    """Read what the job names and evaluate forecasts of it; keep them as CSV in `records`, if named.

    Raises what the engine raises.
    """
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
    """Return the report about an evaluation of these data."""
    figures = {name: getattr(evaluation, name) for name in evaluation.__slots__}
    return msgspec.convert(
        {"kind": "backtest_report", "data_digest": data_digest, **figures}, BacktestReport, from_attributes=True
    )


def _season(job: Backtest) -> Season:
    """Read the fights, without those after the last day."""
    end = None if job.last_day is None else job.last_day + datetime.timedelta(days=1)
    if job.matrix is not None:
        matrix = matrix_of(Path(job.data), job.matrix)
        return season_of_matrix(matrix if end is None else matrix.before(end))
    log = read_fight_log(Path(job.data))
    return season_of_log(log if end is None else log.before(end))
