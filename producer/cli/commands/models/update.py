"""The commands `models update` and `models reanchor`: renew a model from a newer fight log, without a training."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from ledger.contracts.codec import job_refused
from ledger.contracts.job_reports.update_report import UpdateReport
from ledger.contracts.job_state import Outcome
from ledger.contracts.jobs import UpdateModel
from ledger.models.aliases import CHALLENGER, CHAMPION
from ledger.operations.control_store import ControlChange
from producer.cli.options.audit import audit_options
from producer.cli.options.idempotency import describe_existing, stored_outcome, submission_key
from producer.cli.options.training import data_digest
from producer.client import Client, require_report
from producer.output.console import Console, json_option, pass_console
from producer.output.model_tables import history_table
from producer.output.progress import submit_with_retry, wait_with_progress
from producer.output.report_tables import report_tables

Command = TypeVar("Command", bound=Callable[..., Any])


def _update_options(command: Command) -> Command:
    """Add the options that both commands have."""
    for option in (
        json_option,
        audit_options(required=False),
        click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Limit; default: none."),
        click.option("--rerun", is_flag=True, help="Run again even if the same job is stored."),
        click.option("--cutoff", type=click.DateTime(["%Y-%m-%d"]), help="Ignore fights on or after this day."),
        click.option("--base", default=CHAMPION, show_default=True, metavar="MODEL", help="Model to start from."),
        click.argument("folder", type=click.Path(path_type=Path)),
    ):
        command = option(command)
    return command


@click.command()
@click.option("--promote", is_flag=True, help="Move --alias from the base to the updated model, if the gate allows it.")
@click.option("--alias", default=CHAMPION, show_default=True, help="Alias that --promote moves.")
@_update_options
@pass_console
def update(
    console: Console, /, folder: Path, promote: bool, alias: str, user: str, reason: str, **options: Any
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
        outcome = _run(client, console, folder, reanchor=False, **options)
        report = _update_report(outcome)
        change = (
            client.ledger.promotions.promote_update(
                alias, outcome, verify=client.ledger.verification.verify_model, user=user, reason=reason
            )
            if promote
            else None
        )
    _output(console, outcome, report, change)
    if report.changed and not promote:
        console.note(f"Registered, and no alias was moved. To promote it: cornerman models update {folder} --promote")


@click.command()
@click.option("--alias", default=CHALLENGER, show_default=True, help="Alias of the re-anchored model.")
@_update_options
@pass_console
def reanchor(console: Console, /, folder: Path, alias: str, user: str, reason: str, **options: Any) -> None:
    """Move the intervals and the slope of a model by newer closing odds.

    A training worker does what `cornerman models update` does, and moves the half-widths of the intervals (adaptive
    conformal inference) and the slope by the closing odds of all fights of the log in FOLDER after the members'
    training. The members stay the same. It takes seconds.

    The new model becomes challenger, and is judged and promoted like any: cornerman models promote challenger --data
    FOLDER --reason TEXT. It is judged on fights that it has not seen, so keep some back with --cutoff.
    """
    with Client.from_env() as client:
        outcome = _run(client, console, folder, reanchor=True, **options)
        report = _update_report(outcome)
        aliases = client.ledger.aliases
        standing = aliases.resolve(alias)
        change = None
        if alias == CHAMPION and standing not in (None, report.model):
            raise job_refused(
                f"the model is registered as {report.model[:12]}, but {alias} is {str(standing)[:12]}, and its new "
                "intervals are judged first: cornerman models promote"
            )
        if standing != report.model:
            change = aliases.move(
                alias,
                report.model,
                verify=client.ledger.verification.verify_model,
                user=user,
                reason=reason,
                expected=standing,
                evidence={"reanchoring": outcome.job_id},
            )
    _output(console, outcome, report, change)
    console.note(f"To promote it: cornerman models promote {report.model[:12]} --data FOLDER --reason TEXT")


def _run(
    client: Client,
    console: Console,
    folder: Path,
    *,
    reanchor: bool,
    base: str,
    cutoff: datetime | None,
    rerun: bool,
    timeout: float | None,
) -> Outcome:
    """Submit the job and wait for its outcome; return the stored one if the same job has ended already."""
    job = UpdateModel(
        base=client.ledger.models.find(base)["digest"],
        data=str(folder.absolute()),
        data_digest=data_digest(folder),
        cutoff=cutoff.date() if cutoff else None,
        reanchor=reanchor,
    )
    key = submission_key(None, rerun)
    receipt = submit_with_retry(client, console, lambda: client.enqueue(job, key=key), key, timeout)
    stored: Outcome | None = stored_outcome(client, receipt)
    if note := describe_existing(receipt, stored, "--rerun"):
        console.note(note)
    return stored or wait_with_progress(client, console, receipt.job_id, timeout)


def _update_report(outcome: Outcome) -> UpdateReport:
    report = require_report(outcome)
    if not isinstance(report, UpdateReport):
        raise TypeError(f"job {outcome.job_id} ended with {type(report).__name__}, not with the report of an update")
    return report


def _output(console: Console, outcome: Outcome, report: UpdateReport, change: ControlChange | None) -> None:
    moved = [] if change is None else [history_table([change], "Moved")]
    console.output({"outcome": outcome, "change": change}, *report_tables(report), *moved)
