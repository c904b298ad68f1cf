"""The command `models update`: give a model the fighters' state of a newer fight log, without a training."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import click

from ledger.contracts.job_state import Outcome
from ledger.contracts.jobs import UpdateModel
from ledger.contracts.update_report import UpdateReport
from ledger.models.aliases import CHAMPION
from ledger.operations.control_store import ControlChange
from producer.cli.options.audit import audit_options
from producer.cli.options.idempotency import describe_existing, stored_outcome, submission_key
from producer.cli.options.model_lookup import resolve_model
from producer.cli.options.training import data_digest
from producer.client import Client, require_report
from producer.output.console import Console, json_option, pass_console
from producer.output.model_tables import history_table
from producer.output.progress import submit_with_retry, wait_with_progress
from producer.output.report_tables import report_tables


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--base", default=CHAMPION, show_default=True, metavar="MODEL", help="Model to update.")
@click.option("--cutoff", type=click.DateTime(["%Y-%m-%d"]), help="Ignore fights on or after this day.")
@click.option("--promote", is_flag=True, help="Move --alias from the base to the updated model, if the gate allows it.")
@click.option("--alias", default=CHAMPION, show_default=True, help="Alias that --promote moves.")
@click.option("--rerun", is_flag=True, help="Update again even if the same update is stored.")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Limit of the update; default: none.")
@audit_options(required=False)
@json_option
@pass_console
def update(
    console: Console,
    /,
    folder: Path,
    base: str,
    cutoff: datetime | None,
    promote: bool,
    alias: str,
    rerun: bool,
    timeout: float | None,
    user: str,
    reason: str,
) -> None:
    """Update the fighters' state of a model.

    A training worker replays the fight log in FOLDER, and writes a model of the same members that knows the fighters
    after its last fight. The log must continue the one that the model knows: complete, with the new fights after it. It
    takes seconds.

    With --promote the command may run unattended after every event: the alias moves only if the log gives the same past
    (answers to known pairs of fighters are compared), no drift alarm stands, and the alias still names the base.
    Without a new fight nothing changes, and the command succeeds.
    """
    with Client.from_env() as client:
        job = UpdateModel(
            base=resolve_model(client, base)["digest"],
            data=str(folder.absolute()),
            data_digest=data_digest(folder),
            cutoff=cutoff.date() if cutoff else None,
        )
        outcome = _run(client, console, job, submission_key(None, rerun), timeout)
        report = require_report(outcome)
        change = _promote(client, outcome, alias, user, reason) if promote else None
    moved = [] if change is None else [history_table([change], "Moved")]
    console.output({"outcome": outcome, "change": change}, *report_tables(report), *moved)
    if isinstance(report, UpdateReport) and report.changed and not promote:
        console.note(f"Registered, and no alias was moved. To promote it: cornerman models update {folder} --promote")


def _run(client: Client, console: Console, job: UpdateModel, key: str | None, timeout: float | None) -> Outcome:
    """Submit the update and wait for its outcome; return the stored one if the same update has ended already."""
    receipt = submit_with_retry(client, console, lambda: client.enqueue(job, key=key), key, timeout)
    stored: Outcome | None = stored_outcome(client, receipt)
    if note := describe_existing(receipt, stored, "--rerun"):
        console.note(note)
    return stored or wait_with_progress(client, console, receipt.job_id, timeout)


def _promote(client: Client, outcome: Outcome, alias: str, user: str, reason: str) -> ControlChange | None:
    audit: dict[str, Any] = {"user": user, "reason": reason}
    return client.ledger.promotions.promote_update(
        alias, outcome, verify=client.ledger.verification.verify_model, **audit
    )
