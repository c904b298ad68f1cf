"""Options shared by the commands that train or evaluate models, and the job fields that they become."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

import click
from msgspec.inspect import FloatType, IntType, StructType, type_info

from ledger.contracts.codec import job_refused
from ledger.contracts.jobs import MatrixColumns, MemberWeights, TrainingPlan
from ledger.dataset_files import folder_digest

Command = TypeVar("Command", bound=Callable[..., Any])


class WeightsParam(click.ParamType[MemberWeights]):
    """Command-line type for the weights of the three members."""

    name = "weights"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> MemberWeights:
        """Parse `forest,xgboost,network`."""
        if isinstance(value, MemberWeights):
            return value
        try:
            forest, xgboost, network = map(float, value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not three numbers like 0.40,0.35,0.25", param, ctx)
        return MemberWeights(random_forest=forest, xgboost=xgboost, neural_network=network)


class ColumnMarksParam(click.ParamType[tuple[str, str]]):
    """Command-line type for the prefixes or suffixes of the two fighters' columns."""

    name = "marks"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Parse `red,blue`."""
        if isinstance(value, tuple):
            return value
        red, comma, blue = value.partition(",")
        if not comma or not red or not blue or "," in blue or red == blue:
            self.fail(f"{value!r} is not two different marks like r_,b_ or _red,_blue", param, ctx)
        return red, blue


_MATRIX_OPTIONS = (
    click.option("--label", default="won", show_default=True, metavar="COLUMN", help="Matrix: 1 if red won, else 0."),
    click.option("--event", default="event", show_default=True, metavar="COLUMN", help="Matrix: name of the event."),
    click.option("--date", default="date", show_default=True, metavar="COLUMN", help="Matrix: day of the event."),
    click.option("--red-odds", metavar="COLUMN", help="Matrix: red's decimal closing price."),
    click.option("--blue-odds", metavar="COLUMN", help="Matrix: blue's decimal closing price."),
    click.option(
        "--pairs",
        type=ColumnMarksParam(),
        multiple=True,
        metavar="RED,BLUE",
        help="Matrix: prefixes (r_,b_) or suffixes (_red,_blue) of fighters' columns, if not red_,blue_. Repeatable.",
    ),
    click.option(
        "--as-is",
        multiple=True,
        metavar="COLUMN",
        help="Matrix: accept a feature although it looks like an outcome or like one fighter's. Repeatable.",
    ),
)
_DATA_OPTIONS = (
    click.option(
        "--matrix", type=click.Path(path_type=Path), metavar="FILE", help="Feature matrix, in place of a fight log."
    ),
    *_MATRIX_OPTIONS,
)
_WEIGHTS = click.option(
    "--weights", type=WeightsParam(), metavar="F,X,N", help="Member weights: forest, XGBoost, network; sum 1."
)
_LIMITED = {
    "seed": "Seed of the random numbers.",
    "bootstrap_samples": "Bootstrap refits of the ensemble, for the sampling interval.",
    "fits": "Networks and forests averaged in the point prediction.",
    "folds": "Folds of the out-of-fold calibration.",
    "forest_trees": "Trees in each forest.",
    "replica_forest_trees": "Trees in the forest of each bootstrap refit.",
    "max_training_time_seconds": "Time limit of the job.",
    "max_memory_mb": "Memory limit of the job.",
}


_PAST_ODDS = click.option(
    "--past-odds/--no-past-odds",
    default=True,
    show_default=True,
    help="Fight log: learn from past closing odds, too, or from statistics and results alone.",
)


def _limited_options(job: type[TrainingPlan]) -> Iterator[Callable[[Any], Any]]:
    """Yield an option for each field in `_LIMITED`, with the range and default of the job type."""
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
    """Add the options that name the columns of a feature matrix to a command."""
    for option in reversed(_MATRIX_OPTIONS):
        command = option(command)
    return command


def data_options(command: Command) -> Command:
    """Add `--matrix` and its column options to a command."""
    for option in reversed(_DATA_OPTIONS):
        command = option(command)
    return command


def training_options(job: type[TrainingPlan]) -> Callable[[Command], Command]:
    """Return a decorator that adds the options of a training job to a command."""

    def decorate(command: Command) -> Command:
        for option in reversed([*_limited_options(job), _WEIGHTS, _PAST_ODDS]):
            command = option(command)
        return data_options(command)

    return decorate


def data_path(folder: Path | None, matrix: Path | None) -> Path:
    """Return the absolute path of the fight log or matrix. Raises click.UsageError unless exactly one is given."""
    given = [path for path in (folder, matrix) if path is not None]
    if len(given) != 1:
        raise click.UsageError("Name either FOLDER with a fight log, or --matrix FILE.")
    return given[0].absolute()


def pop_matrix_columns(options: dict[str, Any]) -> MatrixColumns:
    """Remove the values of `matrix_options` from `options` and return them as `MatrixColumns`."""
    return MatrixColumns(**{name: options.pop(name) for name in MatrixColumns.__struct_fields__})


def training_fields(path: Path, is_matrix: bool, options: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a training job from the given options; options not given keep the job's defaults.

    Raises JobRefusedError if the data cannot be read.
    """
    columns = pop_matrix_columns(options)
    given = {name: value for name, value in options.items() if value is not None}
    weights = {"model_weights": given.pop("weights")} if "weights" in given else {}
    return {
        "data": str(path),
        "data_digest": data_digest(path),
        "matrix": columns if is_matrix else None,
        **weights,
        **given,
    }


def data_digest(path: Path) -> str:
    """Return the digest of a fight log or matrix. Raises JobRefusedError if it cannot be read."""
    try:
        return folder_digest(path)
    except OSError as error:
        raise job_refused(str(error)) from error
