"""The options that commands which train or judge have in common, and the fields of the job that they become."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

import click
from msgspec.inspect import FloatType, IntType, StructType, type_info

from ledger.contracts.codec import refuse
from ledger.contracts.jobs import MatrixColumns, MemberWeights, TrainingPlan
from ledger.dataset_files import folder_digest

Command = TypeVar("Command", bound=Callable[..., Any])


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


class Marks(click.ParamType[tuple[str, str]]):
    """What marks the two fighters in names of columns, as two words."""

    name = "marks"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Read `red,blue`."""
        if isinstance(value, tuple):
            return value
        red, comma, blue = value.partition(",")
        if not comma or not red or not blue or "," in blue or red == blue:
            self.fail(f"{value!r} is not two different marks like r_,b_ or _red,_blue", param, ctx)
        return red, blue


_MATRIX_OPTIONS = (
    click.option(
        "--label", default="won", show_default=True, metavar="COLUMN", help="Matrix: 1 where red won, else 0."
    ),
    click.option("--event", default="event", show_default=True, metavar="COLUMN", help="Matrix: the event."),
    click.option("--date", default="date", show_default=True, metavar="COLUMN", help="Matrix: the day."),
    click.option("--red-odds", metavar="COLUMN", help="Matrix: red's decimal closing price."),
    click.option("--blue-odds", metavar="COLUMN", help="Matrix: blue's decimal closing price."),
    click.option(
        "--pairs",
        type=Marks(),
        multiple=True,
        metavar="RED,BLUE",
        help="Matrix: what begins (r_,b_) or ends (_red,_blue) columns of the two, if not red_ and blue_. Repeatable.",
    ),
    click.option(
        "--as-is",
        multiple=True,
        metavar="COLUMN",
        help="Matrix: take a feature that looks like an outcome, or like one fighter's, for what it is. Repeatable.",
    ),
)
_DATA_OPTIONS = (
    click.option("--matrix", type=click.Path(path_type=Path), metavar="FILE", help="A ready feature matrix instead."),
    *_MATRIX_OPTIONS,
)
_WEIGHTS = click.option("--weights", type=Weights(), metavar="F,X,N", help="Forest, XGBoost, network; together 1.")
_LIMITED = {
    "seed": "Of every draw of random numbers.",
    "bootstrap_samples": "Refits of the ensemble, for the sampling interval.",
    "fits": "Networks and forests averaged in the point prediction.",
    "folds": "Folds of the out-of-fold calibration.",
    "forest_trees": "Trees of each forest.",
    "replica_forest_trees": "Trees of each refit's forest.",
    "max_training_time_seconds": "Time limit of the job.",
    "max_memory_mb": "Memory limit of the job.",
}


def _limited_options(job: type[TrainingPlan]) -> Iterator[Callable[[Any], Any]]:
    """Yield an option for each field in `_LIMITED`, with the range and the default that the job's type has."""
    for field in cast(StructType, type_info(job)).fields:
        if field.name in _LIMITED and isinstance(field.type, IntType | FloatType):
            yield click.option(
                f"--{field.name.removesuffix('_seconds').replace('_', '-')}",
                field.name,
                type=_range_of(field.type),
                metavar={"max_training_time_seconds": "SECONDS", "max_memory_mb": "MB"}.get(field.name, "N"),
                show_default=f"{field.default:g}",
                help=_LIMITED[field.name],
            )


def _range_of(kind: IntType | FloatType) -> click.IntRange | click.FloatRange:
    shape: Any = click.IntRange if isinstance(kind, IntType) else click.FloatRange
    least, most = (kind.gt if kind.ge is None else kind.ge), (kind.lt if kind.le is None else kind.le)
    return shape(least, most, min_open=kind.gt is not None, max_open=kind.lt is not None)  # type: ignore[no-any-return]


def matrix_options(command: Command) -> Command:
    """Give a command the options that say what the columns of a feature matrix are."""
    for option in reversed(_MATRIX_OPTIONS):
        command = option(command)
    return command


def data_options(command: Command) -> Command:
    """Give a command the options of a job that reads a feature matrix."""
    for option in reversed(_DATA_OPTIONS):
        command = option(command)
    return command


def plan_options(job: type[TrainingPlan]) -> Callable[[Command], Command]:
    """Give a command the options of a job that trains."""

    def decorate(command: Command) -> Command:
        for option in reversed([*_limited_options(job), _WEIGHTS]):
            command = option(command)
        return data_options(command)

    return decorate


def matrix_columns(options: dict[str, Any]) -> MatrixColumns:
    """Take what `matrix_options` gave out of `options`."""
    return MatrixColumns(**{name: options.pop(name) for name in MatrixColumns.__struct_fields__})


def plan_fields(path: Path, is_matrix: bool, options: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of the job for what was given; what was not given keeps the job's own default.

    Raises:
        JobRefused: the data cannot be read.
    """
    columns = matrix_columns(options)
    given = {name: value for name, value in options.items() if value is not None}
    weights = {"model_weights": given.pop("weights")} if "weights" in given else {}
    try:
        digest = folder_digest(path)
    except OSError as error:
        raise refuse(str(error)) from error
    return {
        "data": str(path),
        "data_digest": digest,
        "matrix": columns if is_matrix else None,
        **weights,
        **given,
    }
