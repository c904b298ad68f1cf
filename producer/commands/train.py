"""The command `train`: enqueue a training job."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import click

from ledger.datafiles import folder_digest
from ledger.jobs import MatrixColumns, MemberWeights, TrainEnsemble
from ledger.wire import refuse
from producer.client import report_of
from producer.screen import Screen, json_option, pass_screen
from producer.settings import connect
from producer.tables import report_tables
from producer.watch import watch

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


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--matrix", type=click.Path(path_type=Path), metavar="FILE", help="A ready feature matrix instead.")
@click.option("--label", default="won", show_default=True, metavar="COLUMN", help="Matrix: 1 where red won, else 0.")
@click.option("--event", default="event", show_default=True, metavar="COLUMN", help="Matrix: the event.")
@click.option("--date", default="date", show_default=True, metavar="COLUMN", help="Matrix: the day.")
@click.option("--red-odds", metavar="COLUMN", help="Matrix: red's decimal closing price.")
@click.option("--blue-odds", metavar="COLUMN", help="Matrix: blue's decimal closing price.")
@click.option("--cutoff", type=click.DateTime(["%Y-%m-%d"]), help="Fights on or after this day are not seen.")
@click.option("--alias", default="champion", show_default=True, help="Name of the model when it is done.")
@click.option("--seed", type=COUNT, default=0, show_default=True)
@click.option("--weights", type=Weights(), metavar="F,X,N", help="Forest, XGBoost, network; together 1.")
@click.option("--bootstrap-samples", type=COUNT, help="Refits of the ensemble, for the sampling interval.")
@click.option("--fits", type=COUNT, help="Networks and forests averaged in the point prediction.")
@click.option("--folds", type=COUNT, help="Folds of the out-of-fold calibration.")
@click.option("--forest-trees", type=COUNT)
@click.option("--replica-forest-trees", type=COUNT)
@click.option("--max-training-time", "max_training_time_seconds", type=float, metavar="SECONDS")
@click.option("--max-memory-mb", type=float)
@click.option("--wait", is_flag=True, help="Show the progress and the report.")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="With --wait; default: no end.")
@json_option
@pass_screen
def train(
    screen: Screen, /, folder: Path | None, matrix: Path | None, wait: bool, timeout: float | None, **options: Any
) -> None:
    """Train an ensemble.

    On a fight log (FOLDER) or on a ready feature matrix (--matrix).
    FOLDER holds the tables fights, stat_lines and fighters as .csv, .csv.gz or .parquet. The training pool
    reads the files at the same path; it refuses the job if they are not the same to the byte.
    """
    if (folder is None) == (matrix is None):
        raise click.UsageError("Name either FOLDER with a fight log, or --matrix FILE.")
    job = _training_job((folder or matrix or Path()).absolute(), matrix is not None, options)
    with connect() as client:
        receipt = client.enqueue(job)
        if not wait:
            screen.answer(receipt, f"Enqueued as {receipt.job_id}. See it: cornerman result {receipt.job_id}")
            return
        outcome = watch(client, screen, receipt.job_id, timeout)
    report = report_of(outcome)
    screen.answer(outcome, *report_tables(report))


def _training_job(path: Path, is_matrix: bool, options: dict[str, Any]) -> TrainEnsemble:
    """Build the job from what was given; what was not given keeps the job's own default."""
    names = {name: options.pop(name) for name in ("label", "event", "date", "red_odds", "blue_odds")}
    given = {name: value for name, value in options.items() if value is not None}
    cutoff: datetime | None = given.pop("cutoff", None)
    weights = {"model_weights": given.pop("weights")} if "weights" in given else {}
    try:
        digest = folder_digest(path)
    except OSError as error:
        raise refuse(str(error)) from error
    return TrainEnsemble(
        data=str(path),
        data_digest=digest,
        matrix=MatrixColumns(**names) if is_matrix else None,
        cutoff=cutoff.date() if cutoff else None,
        **weights,
        **given,
    )
