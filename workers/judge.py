"""From a `JudgeModels` to a `JudgementReport`: two models on unseen fights, or their recipes walked forward."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import NamedTuple

import msgspec
import pandas as pd

from engine.backtest import BacktestConfig, forecast_season, season_of_log, season_of_matrix
from engine.errors import ValidationError
from engine.fightlog import read_fight_log
from engine.judgement import (
    Judgement,
    base_rate,
    check_enough,
    first_unseen_day,
    forecast_unseen,
    judge,
    with_columns,
)
from engine.matrix import matrix_digest
from engine.model import Ensemble
from engine.training import TrainingConfig
from engine.walk_forward import Season
from ledger.gate import decide
from ledger.jobs import JudgeModels
from ledger.judgement import JudgedForecast, JudgementReport, Paired
from workers.context import JobContext
from workers.plans import check_data, matrix_of, within_limit
from workers.switches import threads
from workers.train import SAFETY_SECONDS

MOST_REPLICAS = 20
"""Of a recipe that is walked forward: they only give the half-width its floor, for which few are enough."""


class Recipe(NamedTuple):
    """How a model was made, but for its data; without settings where nobody knows."""

    columns: tuple[str, ...]
    settings: TrainingConfig | None


class Forecasts(NamedTuple):
    """What both models, or models of their recipes, said; `trained` of these."""

    challenger: pd.DataFrame
    champion: pd.DataFrame | None
    trained: int


def judge_models(job: JudgeModels, context: JobContext) -> JudgementReport:
    """Judge. Raises BundleError where a model cannot be opened, and what the engine raises."""
    job = within_limit(job, context.settings.memory_limit_mb)
    challenger = context.models.get(job.challenger).model.ensemble
    champion = None if job.champion is None else context.models.get(job.champion).model.ensemble
    recipes = [_recipe(ensemble) for ensemble in (challenger, champion) if ensemble is not None]
    check_data(job)
    context.progress("reading", 0, 1)
    season = _season(job)
    first_day = job.first_day or first_unseen_day(*(each for each in (challenger, champion) if each is not None))
    try:
        check_enough(season, first_day)
    except ValidationError as error:
        raise ValidationError(f"{error}; {_way_on(job)}") from error
    if job.first_day is None:
        forecasts = _unseen(season, first_day, challenger, champion)
    else:
        forecasts = _walked(season, job, recipes, context)
    found = judge(forecasts.challenger, forecasts.champion, base_rate(season, first_day))
    return _report(job, found, matrix_digest(season.fights), forecasts.trained, recipes)


def _way_on(job: JudgeModels) -> str:
    if job.first_day is not None:
        return "begin on an earlier day"
    return (
        "train both with an earlier --cutoff, so that fights are held out, or judge their recipes: "
        "--walk-forward FIRST_DAY"
    )


def _season(job: JudgeModels) -> Season:
    if job.matrix is not None:
        return season_of_matrix(matrix_of(Path(job.data), job.matrix))
    return season_of_log(read_fight_log(Path(job.data)))


def _recipe(ensemble: Ensemble) -> Recipe:
    """Read the settings off a manifest; there are none in that of an imported model, or of another version."""
    try:
        settings = msgspec.convert(ensemble.manifest.get("config"), TrainingConfig)
    except msgspec.ValidationError:
        settings = None
    return Recipe(ensemble.columns, settings)


def _unseen(season: Season, first_day: date, challenger: Ensemble, champion: Ensemble | None) -> Forecasts:
    return Forecasts(
        forecast_unseen(challenger, season, first_day),
        None if champion is None else forecast_unseen(champion, season, first_day),
        trained=0,
    )


def _walked(season: Season, job: JudgeModels, recipes: list[Recipe], context: JobContext) -> Forecasts:
    """Walk each recipe forward; the same one once."""
    ends_at = time.monotonic() + min(job.max_training_time_seconds, context.remaining_seconds() - SAFETY_SECONDS)
    challenger = _walk("challenger", season, job, recipes[0], context, ends_at)
    trained = challenger["trained_before"].nunique()
    if len(recipes) == 1:
        return Forecasts(challenger, None, trained)
    if recipes[1] == recipes[0]:
        return Forecasts(challenger, challenger, trained)
    champion = _walk("champion", season, job, recipes[1], context, ends_at)
    return Forecasts(challenger, champion, trained + champion["trained_before"].nunique())


def _walk(
    name: str, season: Season, job: JudgeModels, recipe: Recipe, context: JobContext, ends_at: float
) -> pd.DataFrame:
    if recipe.settings is None:
        raise ValidationError(
            f"the {name} was not trained here, so its settings cannot be walked forward: judge it on fights that "
            "it has not seen"
        )
    settings = replace(
        recipe.settings,
        bootstrap_samples=min(recipe.settings.bootstrap_samples, MOST_REPLICAS),
        max_training_time_s=max(0.0, ends_at - time.monotonic()),
        max_memory_mb=job.max_memory_mb,
        n_jobs=threads(context.claim.controls, context.settings.training_threads),
    )
    fights = Season(with_columns(season.fights, recipe.columns), season.early_odds)

    def progress(stage: str, done: int, total: int) -> None:
        context.progress(f"{name}, {stage}", done, total)

    return forecast_season(fights, BacktestConfig(job.first_day, None, job.refit_months, settings), progress)


def _report(
    job: JudgeModels, found: Judgement, data_digest: str, trained: int, recipes: list[Recipe]
) -> JudgementReport:
    forecasts = msgspec.convert(found.forecasts, tuple[JudgedForecast, ...], from_attributes=True)
    paired = msgspec.convert(found.paired, tuple[Paired, ...], from_attributes=True)
    return JudgementReport(
        challenger=job.challenger,
        champion=job.champion,
        data_digest=data_digest,
        method="held_out" if job.first_day is None else "walk_forward",
        same_recipe=len(recipes) == 2 and recipes[0] == recipes[1] and recipes[0].settings is not None,
        trained=trained,
        first_day=found.first_day,
        last_day=found.last_day,
        fights=found.fights,
        priced_fights=found.priced_fights,
        events=found.events,
        forecasts=forecasts,
        paired=paired,
        verdict=decide(forecasts, paired),
    )
