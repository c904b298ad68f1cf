"""The command `predict`: predict the rows of a feature matrix with a model on this machine, without a server."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from ledger.contracts.jobs import DevigMethod
from ledger.contracts.local_protocol import PredictMatrix, RowAnswer
from producer.local.subprocess_runner import predict_matrix
from producer.output.console import Console, json_option, pass_console
from producer.output.report_tables import rows_table


@click.command()
@click.option("--model", required=True, type=click.Path(path_type=Path), metavar="MODEL", help="Folder of the model.")
@click.option(
    "--matrix",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Feature matrix, as CSV or Parquet.",
)
@click.option("--red-odds", metavar="COLUMN", help="Red's decimal price; default: as in training.")
@click.option("--blue-odds", metavar="COLUMN", help="Blue's decimal price; default: as in training.")
@click.option(
    "--devig",
    "devig_method",
    type=click.Choice(get_args(DevigMethod)),
    default="power",
    show_default=True,
    help="Method that removes the bookmaker's margin.",
)
@click.option("--contributions", is_flag=True, help="Show what each group of features adds to a probability's logit.")
@json_option
@pass_console
def predict(
    console: Console,
    model: Path,
    matrix: Path,
    red_odds: str | None,
    blue_odds: str | None,
    devig_method: DevigMethod,
    contributions: bool,
) -> None:
    """Predict the rows of a feature matrix on this machine.

    MODEL is the folder that `cornerman train --out MODEL` wrote, or any model's folder. FILE has a row for each fight
    with the model's features; the columns for label, event, date and odds are optional. With --json prints one
    document a row, in the order of the file.
    """
    answers: list[RowAnswer] = []
    request = PredictMatrix(
        model=str(model.absolute()),
        matrix=str(matrix.absolute()),
        red_odds=red_odds,
        blue_odds=blue_odds,
        devig_method=devig_method,
        contributions=contributions,
    )
    report = predict_matrix(request, console, console.output if console.as_json else answers.append)
    if not console.as_json:
        console.output(answers, rows_table(answers, report))
    if report.unused:
        console.note(f"Columns not used by the model: {', '.join(report.unused)}")
