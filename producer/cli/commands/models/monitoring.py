"""Commands about models in production, in the group `models`: `compare`, `review`, `clear-alarm`."""

from __future__ import annotations

import uuid

import click

from ledger.contracts.job_reports.monitoring_reports import ReviewReport
from ledger.contracts.jobs import CompareModels, ReviewModel
from ledger.models.aliases import CHALLENGER, CHAMPION
from producer.cli.options.audit import audit_options
from producer.client import Client, require_report
from producer.output.console import Console, json_option, pass_console
from producer.output.exit_codes import ExitCode
from producer.output.monitoring_tables import alarms_table
from producer.output.progress import wait_with_progress
from producer.output.report_tables import report_tables

_patience = click.option("--timeout", type=click.FloatRange(min=0), default=60.0, show_default=True, metavar="SECONDS")


@click.command()
@click.option("--champion", default=CHAMPION, show_default=True, metavar="MODEL")
@click.option("--challenger", default=CHALLENGER, show_default=True, metavar="MODEL")
@_patience
@json_option
@pass_console
def compare(console: Console, champion: str, challenger: str, timeout: float) -> None:
    """Compare challenger, champion and market.

    Uses the fights that both models predicted before they began and whose results are known (cornerman fight-results
    add).
    """
    with Client.from_env() as client:
        names = [str(client.ledger.models.find(name)["digest"]) for name in (champion, challenger)]
        job = CompareModels(champion=names[0], challenger=names[1], nonce=uuid.uuid4().hex)
        report = require_report(wait_with_progress(client, console, client.enqueue(job).job_id, timeout))
    console.output(report, *report_tables(report))


@click.command()
@click.argument("model", default=CHAMPION)
@_patience
@json_option
@pass_console
def review(console: Console, model: str, timeout: float) -> None:
    """Compare a model's live predictions with results.

    The tests keep their false-alarm rate however often a review runs. On an alarm the review takes the action of the
    control `on_alarm` (none, abstain, rollback). The exit code is 1 while an alarm is active, also if only the test of
    the features is in alarm, which triggers no action.
    """
    with Client.from_env() as client:
        digest = client.ledger.models.find(model)["digest"]
        receipt = client.enqueue(ReviewModel(model=digest, nonce=uuid.uuid4().hex))
        report = require_report(wait_with_progress(client, console, receipt.job_id, timeout))
    console.output(report, *report_tables(report))
    if isinstance(report, ReviewReport) and (report.alarm or any(found.alarm for found in report.findings)):
        click.get_current_context().exit(ExitCode.FAILED)


@click.command()
@click.argument("model")
@audit_options(required=True)
@json_option
@pass_console
def clear_alarm(console: Console, model: str, user: str, reason: str) -> None:
    """Clear the drift alarm of a model.

    The model may bet again, and its tests restart with the results added from now on. An alias that was rolled back is
    not moved.
    """
    with Client.from_env() as client:
        digest = client.ledger.models.origin(client.ledger.models.find(model)["digest"])
        alarm = client.ledger.drift_alarms.clear(digest, user=user, reason=reason)
    console.output({"cleared": alarm}, alarms_table([alarm]))
    console.note("Cleared.")
