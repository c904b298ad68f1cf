"""Handler of `JudgeModels`: evaluate a challenger on unseen fights, or by a walk-forward test of the recipes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pandas as pd

from engine.data.feature_matrix import matrix_digest
from engine.data.features import FEATURE_COLUMNS
from engine.data.fight_log import FightLog, read_fight_log
from engine.errors import EngineError, ValidationError
from engine.evaluation.backtest import (
    BacktestConfig,
    backtest_data_from_log,
    backtest_data_from_matrix,
    evaluation_periods,
    forecast_fights,
)
from engine.evaluation.challenger import (
    ChallengerEvaluation,
    check_enough_fights,
    evaluate_challenger,
    first_unseen_day,
    forecast_unseen,
    select_columns,
)
from engine.evaluation.served_rows import with_lagging_rows, with_rows_of_model
from engine.evaluation.walk_forward import FightSet
from engine.model.trained_ensemble import Ensemble
from engine.training.train import TrainingConfig
from ledger.contracts.job_reports.judgement_report import (
    EvaluatedForecast,
    JudgementReport,
    PairedDifference,
    ServedComparison,
    ServedForecast,
)
from ledger.contracts.jobs import JudgeModels
from ledger.models.promotion_gate import decide_promotion, error_for_try
from workers.handlers.training.train_ensemble import TIME_LIMIT_MARGIN_SECONDS
from workers.handlers.training.training_data import pin_data, read_job_matrix, with_memory_limit
from workers.jobs.context import JobContext
from workers.jobs.operator_overrides import limit_threads

MAX_REPLICAS = 20
"""Maximum number of replicas in a walk-forward test, where they only set the lower limit of the half-widths."""


class Recipe(NamedTuple):
    """The columns and settings of a model's training; the settings of an imported model are None."""

    columns: tuple[str, ...]
    settings: TrainingConfig | None


class Forecasts(NamedTuple):
    """The forecasts by role, and the number of models that were trained for them."""

    tables: Mapping[str, pd.DataFrame]
    trained: int


def judge_models(job: JudgeModels, context: JobContext) -> JudgementReport:
    """Evaluate a challenger against its incumbents, which aliases may name.

    Raises BundleError if a model cannot be opened or an alias is not set, JobRefusedError if the challenger is the
    champion of an alias, and EngineError.
    """
    resolved = with_digests(job, context)
    if job.champion is None or resolved.champion == job.champion:
        return evaluate_models(resolved, context)
    promotions = context.ledger.promotions
    planned = promotions.plan_for_alias(job.champion, resolved)
    try:
        return evaluate_models(planned, context)
    except EngineError:  # what comes to no figures is no try
        promotions.uncount_try(job.champion, planned)
        raise


def with_digests(job: JudgeModels, context: JobContext) -> JudgeModels:
    """Return a comparison with the digests of the models that aliases name. Raises BundleNotFoundError."""
    names = {"challenger": job.challenger, "champion": job.champion, "anchor": job.anchor}
    digests = {role: name and context.models.resolve(name) for role, name in names.items()}
    return msgspec.structs.replace(job, **digests)


def evaluate_models(job: JudgeModels, context: JobContext) -> JudgementReport:
    """Evaluate a challenger against its incumbents. Raises BundleError if a model cannot be opened, and EngineError."""
    job = with_memory_limit(job, context.settings.child_max_memory_mb)
    roles = {"challenger": job.challenger, "champion": job.champion, "anchor": job.anchor}
    models = {role: context.models.get(digest).model.ensemble for role, digest in roles.items() if digest is not None}
    recipes = {role: _recipe(ensemble) for role, ensemble in models.items()}
    job = pin_data(job)
    context.progress("reading", 0, 1)
    fight_set, log = _read_fights(job)
    first_day = job.first_day or first_unseen_day(*models.values())
    try:
        check_enough_fights(fight_set, first_day)
    except ValidationError as error:
        raise ValidationError(f"{error}; {_remedy(job)}") from error
    if job.first_day is None:
        _check_earlier_fights(fight_set, job, first_day)
        tables = {
            role: _forecast(
                role, forecast_unseen, ensemble, _served_rows(ensemble, fight_set, log, first_day), first_day
            )
            for role, ensemble in models.items()
        }
        forecasts = Forecasts(tables, trained=0)
    else:
        if log is not None:
            fight_set = with_lagging_rows(fight_set, log, evaluation_periods(fight_set, _walk_forward_days(job)))
        forecasts = _walk_forward(fight_set, job, recipes, context)
    incumbents = {role: table for role, table in forecasts.tables.items() if role != "challenger"}
    evaluation = evaluate_challenger(forecasts.tables["challenger"], incumbents, error_for_try(job.tries), job.state)
    return _report(job, evaluation, matrix_digest(fight_set.fights), forecasts.trained, recipes)


def _check_earlier_fights(fight_set: FightSet, job: JudgeModels, first_day: date) -> None:
    """Raise ValidationError for a fight log without earlier fights, on which the features depend."""
    if job.matrix is None and not len(fight_set.fights.before(first_day)):
        raise ValidationError(
            f"the fight log begins on {fight_set.fights.date[0]}, after the models' training data: the features of its "
            "fights depend on earlier fights, so use the whole log; only a feature matrix may begin there"
        )


def _remedy(job: JudgeModels) -> str:
    if job.first_day is not None:
        return "begin on an earlier day"
    return (
        "train both with an earlier --cutoff, so that fights are held out, or evaluate their recipes: "
        "--walk-forward FIRST_DAY"
    )


def _read_fights(job: JudgeModels) -> tuple[FightSet, FightLog | None]:
    """Return the fights, and the log that they come from unless that is a feature matrix."""
    if job.matrix is not None:
        return backtest_data_from_matrix(read_job_matrix(Path(job.data), job.matrix)), None
    log = read_fight_log(Path(job.data))
    return backtest_data_from_log(log, FEATURE_COLUMNS), log


def _recipe(ensemble: Ensemble) -> Recipe:
    """Return the recipe in a manifest; that of an imported model or of another version has no settings."""
    try:
        settings = msgspec.convert(ensemble.manifest.get("config"), TrainingConfig)
    except msgspec.ValidationError:
        settings = None
    return Recipe(ensemble.columns, settings)


def _forecast(role: str, forecast: Callable[..., pd.DataFrame], *arguments: Any) -> pd.DataFrame:
    """Return a forecast, and add the role of the model to a ValidationError."""
    try:
        return forecast(*arguments)
    except ValidationError as error:
        raise ValidationError(f"the {role} cannot be evaluated: {error}") from error


def _served_rows(ensemble: Ensemble, fight_set: FightSet, log: FightLog | None, first_day: date) -> FightSet:
    """Return the fights with feature rows as in production: with gaps for a model that was imported with a log."""
    if log is None:
        return fight_set
    if ensemble.snapshot is not None and ensemble.snapshot.keep_gaps:
        fight_set = backtest_data_from_log(log, FEATURE_COLUMNS, keep_gaps=True)
    return with_rows_of_model(fight_set, log, ensemble, first_day)


def _walk_forward_days(job: JudgeModels) -> BacktestConfig:
    return BacktestConfig(job.first_day, None, job.refit_months)


def _walk_forward(
    fight_set: FightSet, job: JudgeModels, recipes: Mapping[str, Recipe], context: JobContext
) -> Forecasts:
    """Run a walk-forward test of each recipe; equal recipes share one."""
    ends_at = time.monotonic() + min(
        job.max_training_time_seconds, context.remaining_seconds() - TIME_LIMIT_MARGIN_SECONDS
    )
    tables: dict[str, pd.DataFrame] = {}
    trained = 0
    for role, recipe in recipes.items():
        same = next((other for other in tables if recipes[other] == recipe), None)
        if same is None:
            tables[role] = _forecast(role, _walk_recipe_forward, role, fight_set, job, recipe, context, ends_at)
            trained += tables[role]["trained_before"].nunique()
        else:
            tables[role] = tables[same]
    return Forecasts(tables, trained)


def _walk_recipe_forward(
    name: str, fight_set: FightSet, job: JudgeModels, recipe: Recipe, context: JobContext, ends_at: float
) -> pd.DataFrame:
    if recipe.settings is None:
        raise ValidationError(
            "its training settings are unknown, so there is no walk-forward test: evaluate it on unseen fights"
        )
    settings = replace(
        recipe.settings,
        bootstrap_samples=min(recipe.settings.bootstrap_samples, MAX_REPLICAS),
        max_training_time_s=max(0.0, ends_at - time.monotonic()),
        max_memory_mb=job.max_memory_mb,
        n_jobs=limit_threads(context.claim.controls, context.settings.training_threads),
    )
    fights = select_columns(fight_set, recipe.columns)

    def progress(stage: str, done: int, total: int) -> None:
        context.progress(f"{name}, {stage}", done, total)

    return forecast_fights(fights, replace(_walk_forward_days(job), training=settings), progress)


def _report(
    job: JudgeModels, evaluation: ChallengerEvaluation, data_digest: str, trained: int, recipes: Mapping[str, Recipe]
) -> JudgementReport:
    forecasts, corner_known = (
        msgspec.convert(each, tuple[EvaluatedForecast, ...], from_attributes=True)
        for each in (evaluation.forecasts, evaluation.corner_known)
    )
    paired = msgspec.convert(evaluation.paired, tuple[PairedDifference, ...], from_attributes=True)
    challenger, champion = recipes["challenger"], recipes.get("champion")
    return JudgementReport(
        challenger=job.challenger,
        champion=job.champion,
        anchor=job.anchor,
        tries=job.tries,
        error=error_for_try(job.tries),
        data_digest=data_digest,
        method="held_out" if job.first_day is None else "walk_forward",
        same_recipe=champion == challenger and challenger.settings is not None,
        trained=trained,
        first_day=evaluation.first_day,
        last_day=evaluation.last_day,
        fights=evaluation.fights,
        priced_fights=evaluation.priced_fights,
        events=evaluation.events,
        forecasts=forecasts,
        paired=paired,
        corner_known=corner_known,
        recalibrated=evaluation.recalibrated,
        served=ServedComparison(
            state=job.state,
            forecasts=msgspec.convert(evaluation.served, tuple[ServedForecast, ...], from_attributes=True),
        ),
        verdict=decide_promotion(forecasts, paired, corner_known),
    )
