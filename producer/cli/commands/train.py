"""The command `train`: enqueue a training job, or train on this machine."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import click

from ledger.contracts.job_state import Outcome, Receipt
from ledger.contracts.jobs import TrainEnsemble
from ledger.contracts.local_protocol import TrainLocally
from ledger.contracts.reports import Report
from producer.cli.options.conditions import pop_conditions, waiting_options
from producer.cli.options.idempotency import (
    describe_existing,
    idempotency_options,
    receipt_text,
    stored_outcome,
    submission_key,
)
from producer.cli.options.training import data_path, training_fields, training_options
from producer.client import Client, require_report
from producer.errors import StoredFailureError
from producer.local.subprocess_runner import train_locally
from producer.output.console import Console, json_option, pass_console
from producer.output.progress import submit_with_retry, wait_with_progress
from producer.output.report_tables import report_tables


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@training_options(TrainEnsemble)
@click.option("--cutoff", type=click.DateTime(["%Y-%m-%d"]), help="Ignore fights on or after this day.")
@click.option("--alias", help="Alias of the model; default: champion, or challenger if there is a champion.")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="MODEL", help="Train on this machine and write this folder."
)
@idempotency_options
@waiting_options
@click.option("--wait", is_flag=True, help="Wait, and show the progress and the report.")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Limit of --wait; default: none.")
@json_option
@pass_console
def train(
    console: Console,
    /,
    folder: Path | None,
    matrix: Path | None,
    out: Path | None,
    key: str | None,
    force: bool,
    wait: bool,
    timeout: float | None,
    **options: Any,
) -> None:
    """Train an ensemble.

    Uses a fight log (FOLDER) or a feature matrix (--matrix). FOLDER holds the tables fights, stat_lines and fighters
    as .csv, .csv.gz or .parquet. The training pool reads the files at the same path, and refuses the job if they
    differ in any byte.

    The same training is the same job: submitting it again shows the stored outcome. --force submits a new job.

    The first model becomes champion. Later ones become challenger: cornerman models promote challenger evaluates and
    promotes them.

    With --out this machine trains, without a server, and writes the model to the folder MODEL, where it replaces an
    earlier model. To predict with it: cornerman predict --model MODEL --matrix FILE
    """
    path, conditions = data_path(folder, matrix), pop_conditions(options)
    of_a_job = (options["alias"], timeout, key)
    if out is not None and (force or conditions or any(value is not None for value in of_a_job)):
        raise click.UsageError("With --out there is no job: leave out --alias, --key, --force, --timeout and the like.")
    name = submission_key(key, force)
    job = _training_job(path, matrix is not None, options)
    if out is not None:
        _train_locally(console, job, out.absolute())
        return
    with Client.from_env() as client:
        receipt = submit_with_retry(client, console, lambda: client.enqueue(job, key=name, **conditions), name, timeout)
        stored = _stored(client, console, job, receipt)
        if not wait:
            console.output(receipt, receipt_text(receipt))
            return
        if stored is not None and stored.failure is not None:
            raise StoredFailureError(receipt, stored)
        outcome = stored or wait_with_progress(client, console, receipt.job_id, timeout)
    tables = report_tables(require_report(outcome))
    if stored is not None:
        tables[0].title = f"Trained earlier, at {stored.settled_at:%Y-%m-%d %H:%M:%S} UTC"
    console.output({"receipt": receipt, "outcome": outcome}, *tables)


def _stored(client: Client, console: Console, job: TrainEnsemble, receipt: Receipt[Report]) -> Outcome | None:
    """Return the outcome of the same training if it is stored, and note that this call trained nothing."""
    stored = stored_outcome(client, receipt)
    if note := describe_existing(receipt, stored):
        console.note(note)
    if stored is not None:
        standing = client.ledger.aliases.resolve(job.alias) if job.alias else None
        alias = f"moved no alias: {job.alias} is {standing[:12]}" if standing else "moved no alias"
        console.note(f"This call trained nothing and {alias}.")
    return stored


def _train_locally(console: Console, job: TrainEnsemble, out: Path) -> None:
    report = train_locally(TrainLocally(job=job, out=str(out)), console)
    console.output({"out": str(out), "report": report}, *report_tables(report), f"Written to {out}")


def _training_job(path: Path, is_matrix: bool, options: dict[str, Any]) -> TrainEnsemble:
    cutoff: datetime | None = options.pop("cutoff")
    return TrainEnsemble(cutoff=cutoff.date() if cutoff else None, **training_fields(path, is_matrix, options))
