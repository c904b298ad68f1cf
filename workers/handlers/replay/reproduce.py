"""Handler of the replay of a training or a backtest: run it again, and compare digests and figures."""

from __future__ import annotations

import tempfile
from pathlib import Path

from engine.model.bundle import WRITING_PREFIX
from ledger.contracts.backtest_report import BacktestReport
from ledger.contracts.jobs import Backtest, Retrain, TrainEnsemble
from ledger.contracts.replay_report import ReplayReport
from ledger.contracts.reports import TrainingReport
from workers.handlers.replay.replay import Makers, make_again
from workers.handlers.training.backtest import backtest_on_file
from workers.handlers.training.train_ensemble import SAFETY_SECONDS, report_of, train_on_file
from workers.handlers.training.training_data import within_limit
from workers.jobs.context import JobContext
from workers.jobs.operator_overrides import threads

TRAININGS: Makers = {
    "train_ensemble": "workers.handlers.replay.reproduce:train_again",
    "backtest": "workers.handlers.replay.reproduce:backtest_again",
    "judge_models": "workers.handlers.training.judge_models:judge_models",
}


def retrain(job: Retrain, context: JobContext) -> ReplayReport:
    """Replay a training, backtest or model comparison. Raises JobRefused if the job is not stored, and EngineError."""
    return make_again(job.job_id, context, TRAININGS)


def train_again(job: TrainEnsemble, context: JobContext) -> TrainingReport:
    """Train again, and write the bundle to a temporary folder for its digest."""
    plan = within_limit(job, context.settings.memory_limit_mb)
    context.settings.models_folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=WRITING_PREFIX, dir=context.settings.models_folder) as folder:
        bundle = train_on_file(plan, Path(folder), context.progress, _within_seconds(context), _threads(context))
        return report_of(bundle, job.alias)


def backtest_again(job: Backtest, context: JobContext) -> BacktestReport:
    """Run the backtest again, without parts."""
    plan = within_limit(job, context.settings.memory_limit_mb)
    return backtest_on_file(plan, context.progress, _within_seconds(context), n_jobs=_threads(context))


def _within_seconds(context: JobContext) -> float:
    return context.remaining_seconds() - SAFETY_SECONDS


def _threads(context: JobContext) -> int:
    return threads(context.claim.controls, context.settings.training_threads)
