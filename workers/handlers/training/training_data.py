"""Data and settings of the jobs that train."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from engine.data.feature_matrix import TrainingMatrix
from engine.data.feature_matrix_files import read_matrix
from engine.errors import ValidationError
from engine.members.member_fit import MemberParams
from engine.members.random_forest import ForestParams
from engine.training.train import TrainingConfig
from ledger.contracts.jobs import DataPlan, MatrixColumns, TrainingPlan
from ledger.dataset_files import current_version, folder_digest

Plan = TypeVar("Plan", bound=DataPlan)


def pin_data(plan: Plan) -> Plan:
    """Return the plan with the version of its fight log that is in force, which an import does not change any more.

    Raises ValidationError if the data have changed since the job was submitted.
    """
    pinned = msgspec.structs.replace(plan, data=str(current_version(Path(plan.data))))
    check_data_digest(pinned)
    return pinned


def check_data_digest(plan: DataPlan) -> None:
    """Raise ValidationError if the data have changed since the job was submitted."""
    if plan.data_digest is None:
        return
    found = folder_digest(plan.data)
    if found != plan.data_digest:
        raise ValidationError(
            f"the data in {plan.data} (digest {found[:12]}…) have changed since the job was submitted "
            f"(digest {plan.data_digest[:12]}…): submit it again"
        )


def training_config(plan: TrainingPlan, within_seconds: float, n_jobs: int = -1) -> TrainingConfig:
    """Return the engine's settings of a plan, limited to `within_seconds`, on `n_jobs` threads."""
    config = TrainingConfig(
        seed=plan.seed,
        bootstrap_samples=plan.bootstrap_samples,
        fits=plan.fits,
        folds=plan.folds,
        model_weights={name: getattr(plan.model_weights, name) for name in plan.model_weights.__struct_fields__},
        members=MemberParams(forest=ForestParams(trees=plan.forest_trees)),
        replica_members=MemberParams(forest=ForestParams(trees=plan.replica_forest_trees)),
        max_training_time_s=min(plan.max_training_time_seconds, within_seconds),
        max_memory_mb=plan.max_memory_mb,
        n_jobs=n_jobs,
    )
    return config if plan.past_odds else replace(config, teaching=0.0)


RECIPE_FIELDS = (
    *("seed", "bootstrap_samples", "fits", "folds", "forest_trees", "replica_forest_trees", "model_weights"),
    "past_odds",
)
"""The settings of a plan that determine the model that is trained on given data."""


def recipe_from_plan(plan: TrainingPlan) -> dict[str, Any]:
    """Return the recipe of a plan as JSON values."""
    return {name: msgspec.to_builtins(getattr(plan, name)) for name in RECIPE_FIELDS}


def config_from_recipe(recipe: Mapping[str, Any]) -> TrainingConfig:
    """Return the engine's settings of a recipe, without limits of time and memory."""
    plan = msgspec.convert({"data": "prepared", **recipe}, TrainingPlan)
    return replace(training_config(plan, math.inf), max_training_time_s=math.inf, max_memory_mb=math.inf)


def with_memory_limit(plan: Plan, memory_limit_mb: float) -> Plan:
    """Limit the memory of a plan to that of a child (0: no limit), so that the training raises its own error."""
    allowed = min(plan.max_memory_mb, memory_limit_mb or plan.max_memory_mb)
    return msgspec.structs.replace(plan, max_memory_mb=float(allowed))


def read_job_matrix(path: Path, columns: MatrixColumns) -> TrainingMatrix:
    """Read a feature matrix. Raises ValidationError with the file and the column."""
    return read_matrix(
        path,
        label=columns.label,
        event=columns.event,
        date=columns.date,
        red_odds=columns.red_odds,
        blue_odds=columns.blue_odds,
        pairs=columns.pairs,
        as_is=columns.as_is,
    )
