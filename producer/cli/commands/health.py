"""The command `health`: check that a worker, or one pool, can predict cards."""

from __future__ import annotations

import uuid

import click

from ledger.contracts.jobs import CheckHealth
from ledger.contracts.reports import HealthReport, Report
from producer.cli.output.console import Screen, json_option, pass_screen
from producer.cli.output.exit_codes import ExitCode
from producer.cli.output.progress import watch
from producer.cli.output.report_tables import checks_table, report_tables
from producer.client import Client, report_of
from producer.service.http_health import ask_pool


@click.command()
@click.option("--model", default="champion", show_default=True, help="Alias or digest of the model.")
@click.option("--url", metavar="URL", help="Query this pool over HTTP, not through the queue: http://HOST:PORT.")
@click.option("--timeout", type=click.FloatRange(min=0), default=30.0, show_default=True, metavar="SECONDS")
@json_option
@pass_screen
def health(screen: Screen, model: str, url: str | None, timeout: float) -> None:
    """Have a worker load a model and verify it.

    With --url queries the readiness checks of one pool, as a process supervisor would; with the path /healthz only its
    liveness.
    """
    if url is not None:
        told = ask_pool(url, timeout)
        screen.answer(told, checks_table(told.checks))
        healthy = told.status == "passed"
    else:
        report = _ask_worker(screen, model, timeout)
        screen.answer(report, *report_tables(report))
        healthy = isinstance(report, HealthReport) and report.status == "healthy"
    if not healthy:
        click.get_current_context().exit(ExitCode.FAILED)


def _ask_worker(screen: Screen, model: str, timeout: float) -> Report:
    with Client.from_env() as client:
        # The nonce makes each check a new job, so that no stored report is shown.
        receipt = client.enqueue(CheckHealth(model=model, nonce=uuid.uuid4().hex))
        return report_of(watch(client, screen, receipt.job_id, timeout))
