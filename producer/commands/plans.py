"""The options that commands which train or judge have in common, and the fields of the job that they become."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ledger.datafiles import folder_digest
from ledger.jobs import MatrixColumns, MemberWeights
from ledger.wire import refuse

Command = TypeVar("Command", bound=Callable[..., Any])

COUNT = click.IntRange(min=0)


class Weights(click.ParamType[MemberWeights]):
    """The members' shares, as three numbers."""

    name = "weights"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> MemberWeights:
        """Read `forest,xgboost,network`."""
        if isinstance(value, MemberWeights):
            return value
        try:
            forest, xgboost, network = map(float, value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not three numbers like 0.40,0.35,0.25", param, ctx)
        return MemberWeights(random_forest=forest, xgboost=xgboost, neural_network=network)


_DATA_OPTIONS = (
    click.option("--matrix", type=click.Path(path_type=Path), metavar="FILE", help="A ready feature matrix instead."),
    click.option(
        "--label", default="won", show_default=True, metavar="COLUMN", help="Matrix: 1 where red won, else 0."
    ),
    click.option("--event", default="event", show_default=True, metavar="COLUMN", help="Matrix: the event."),
    click.option("--date", default="date", show_default=True, metavar="COLUMN", help="Matrix: the day."),
    click.option("--red-odds", metavar="COLUMN", help="Matrix: red's decimal closing price."),
    click.option("--blue-odds", metavar="COLUMN", help="Matrix: blue's decimal closing price."),
)
_OPTIONS = (
    *_DATA_OPTIONS,
    click.option("--seed", type=COUNT, default=0, show_default=True),
    click.option("--weights", type=Weights(), metavar="F,X,N", help="Forest, XGBoost, network; together 1."),
    click.option("--bootstrap-samples", type=COUNT, help="Refits of the ensemble, for the sampling interval."),
    click.option("--fits", type=COUNT, help="Networks and forests averaged in the point prediction."),
    click.option("--folds", type=COUNT, help="Folds of the out-of-fold calibration."),
    click.option("--forest-trees", type=COUNT),
    click.option("--replica-forest-trees", type=COUNT),
    click.option("--max-training-time", "max_training_time_seconds", type=float, metavar="SECONDS"),
    click.option("--max-memory-mb", type=float),
)


def data_options(command: Command) -> Command:
    """Give a command the options of a job that reads a feature matrix."""
    for option in reversed(_DATA_OPTIONS):
        command = option(command)
    return command


def plan_options(command: Command) -> Command:
    """Give a command the options of a job that trains."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def plan_fields(path: Path, is_matrix: bool, options: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of the job for what was given; what was not given keeps the job's own default.

    Raises:
        JobRefused: the data cannot be read.
    """
    names = {name: options.pop(name) for name in ("label", "event", "date", "red_odds", "blue_odds")}
    given = {name: value for name, value in options.items() if value is not None}
    weights = {"model_weights": given.pop("weights")} if "weights" in given else {}
    try:
        digest = folder_digest(path)
    except OSError as error:
        raise refuse(str(error)) from error
    return {
        "data": str(path),
        "data_digest": digest,
        "matrix": MatrixColumns(**names) if is_matrix else None,
        **weights,
        **given,
    }
