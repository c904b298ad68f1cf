"""Handler of the replay of a training or a backtest: run it again, and compare digests and figures."""

from __future__ import annotations

import tempfile
from pathlib import Path

from engine.model.unfinished_bundles import WRITING_PREFIX
from ledger.contracts.job_reports.backtest_report import BacktestReport
from ledger.contracts.job_reports.judgement_report import JudgementReport
from ledger.contracts.job_reports.update_report import UpdateReport
from ledger.contracts.jobs import Backtest, JudgeModels, ReproduceTraining, TrainEnsemble, UpdateModel
from ledger.contracts.replay_report import ReplayReport
from ledger.contracts.reports import TrainingReport
from workers.handlers.replay.replay import HandlerNames, reproduce
from workers.handlers.training.backtest import backtest_in_process
from workers.handlers.training.judge_models import evaluate_models, with_digests
from workers.handlers.training.train_ensemble import TIME_LIMIT_MARGIN_SECONDS, train_in_process, training_report
from workers.handlers.training.training_data import with_memory_limit
from workers.handlers.training.update_model import derive_model
from workers.jobs.context import JobContext
from workers.jobs.operator_overrides import limit_threads

TRAINING_HANDLERS: HandlerNames = {
    "train_ensemble": "workers.handlers.replay.reproduce:rerun_training",
    "backtest": "workers.handlers.replay.reproduce:rerun_backtest",
    "judge_models": "workers.handlers.replay.reproduce:rerun_judgement",
    "update_model": "workers.handlers.replay.reproduce:rerun_update",
}


def reproduce_training(job: ReproduceTraining, context: JobContext) -> ReplayReport:
    """Replay a training, update, backtest or model comparison. Raises JobRefusedError, EngineError."""
    return reproduce(job.job_id, context, TRAINING_HANDLERS)


def rerun_training(job: TrainEnsemble, context: JobContext) -> TrainingReport:
    """Train again, and write the bundle to a temporary folder for its digest."""
    plan = with_memory_limit(job, context.settings.child_max_memory_mb)
    context.settings.models_folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=WRITING_PREFIX, dir=context.settings.models_folder) as folder:
        bundle = train_in_process(plan, Path(folder), context.progress, _within_seconds(context), _threads(context))
        return training_report(bundle, job.alias)


def rerun_update(job: UpdateModel, context: JobContext) -> UpdateReport:
    """Update again, and write the bundle to a temporary folder for its digest."""
    with tempfile.TemporaryDirectory(prefix=WRITING_PREFIX, dir=context.settings.models_folder) as folder:
        return derive_model(job, context, Path(folder))[1]


def rerun_judgement(job: JudgeModels, context: JobContext) -> JudgementReport:
    """Compare the models again, without counting a try."""
    return evaluate_models(with_digests(job, context), context)


def rerun_backtest(job: Backtest, context: JobContext) -> BacktestReport:
    """Run the backtest again, without parts."""
    plan = with_memory_limit(job, context.settings.child_max_memory_mb)
    return backtest_in_process(plan, context.progress, _within_seconds(context), n_jobs=_threads(context))


def _within_seconds(context: JobContext) -> float:
    return context.remaining_seconds() - TIME_LIMIT_MARGIN_SECONDS


def _threads(context: JobContext) -> int:
    return limit_threads(context.claim.controls, context.settings.training_threads)
