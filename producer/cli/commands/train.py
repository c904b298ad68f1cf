"""The command `train`: enqueue a training job, or train on this machine."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import click

from ledger.contracts.job_state import Outcome, Receipt
from ledger.contracts.jobs import TrainEnsemble
from ledger.contracts.local_protocol import TrainHere
from ledger.contracts.reports import Report
from producer.cli.options.idempotency import identity_options, key_of, said_of, stored_outcome
from producer.cli.options.training import plan_fields, plan_options
from producer.cli.output.console import Screen, json_option, pass_screen
from producer.cli.output.progress import submitted, watch
from producer.cli.output.report_tables import report_tables
from producer.client import Client, report_of
from producer.errors import StoredFailure
from producer.local.subprocess_runner import train_here


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@plan_options(TrainEnsemble)
@click.option("--cutoff", type=click.DateTime(["%Y-%m-%d"]), help="Ignore fights on or after this day.")
@click.option("--alias", help="Alias of the model; default: champion, or challenger if there is a champion.")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="MODEL", help="Train on this machine and write this folder."
)
@identity_options
@click.option("--wait", is_flag=True, help="Wait, and show the progress and the report.")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Limit of --wait; default: none.")
@json_option
@pass_screen
def train(
    screen: Screen,
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
    if (folder is None) == (matrix is None):
        raise click.UsageError("Name either FOLDER with a fight log, or --matrix FILE.")
    if out is not None and (force or any(value is not None for value in (options["alias"], timeout, key))):
        raise click.UsageError("With --out there is no job: leave out --alias, --key, --force and --timeout.")
    name = key_of(key, force)
    job = _training_job((folder or matrix or Path()).absolute(), matrix is not None, options)
    if out is not None:
        _train_here(screen, job, out.absolute())
        return
    with Client.from_env() as client:
        receipt = submitted(client, screen, lambda: client.enqueue(job, key=name), name, timeout)
        stored = _stored(client, screen, job, receipt)
        if not wait:
            done = "Enqueued" if receipt.created else "Exists already"
            screen.answer(receipt, f"{done}: {receipt.job_id}. Show it: cornerman result {receipt.job_id}")
            return
        if stored is not None and stored.failure is not None:
            raise StoredFailure(receipt, stored)
        outcome = stored or watch(client, screen, receipt.job_id, timeout)
    tables = report_tables(report_of(outcome))
    if stored is not None:
        tables[0].title = f"Trained earlier, at {stored.settled_at:%Y-%m-%d %H:%M:%S} UTC"
    screen.answer({"receipt": receipt, "outcome": outcome}, *tables)


def _stored(client: Client, screen: Screen, job: TrainEnsemble, receipt: Receipt[Report]) -> Outcome | None:
    """Return the outcome of the same training if it is stored, and note that this call trained nothing."""
    stored = stored_outcome(client, receipt)
    if said := said_of(receipt, stored):
        screen.remark(said)
    if stored is not None:
        standing = client.ledger.aliases.resolve(job.alias) if job.alias else None
        alias = f"moved no alias: {job.alias} is {standing[:12]}" if standing else "moved no alias"
        screen.remark(f"This call trained nothing and {alias}.")
    return stored


def _train_here(screen: Screen, job: TrainEnsemble, out: Path) -> None:
    report = train_here(TrainHere(job=job, out=str(out)), screen)
    screen.answer({"out": str(out), "report": report}, *report_tables(report), f"Written to {out}")


def _training_job(path: Path, is_matrix: bool, options: dict[str, Any]) -> TrainEnsemble:
    cutoff: datetime | None = options.pop("cutoff")
    return TrainEnsemble(cutoff=cutoff.date() if cutoff else None, **plan_fields(path, is_matrix, options))
