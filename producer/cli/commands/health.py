"""The command `health`: whether a worker, or one pool, could answer a card."""

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
@click.option("--model", default="champion", show_default=True, help="Alias or digest.")
@click.option("--url", metavar="URL", help="Ask this pool whether it is ready, past the queue: http://HOST:PORT.")
@click.option("--timeout", type=click.FloatRange(min=0), default=30.0, show_default=True, metavar="SECONDS")
@json_option
@pass_screen
def health(screen: Screen, model: str, url: str | None, timeout: float) -> None:
    """Ask a worker to load a model and prove it.

    With --url one pool is asked for its own checks, as a supervisor would; /healthz in it asks only whether it lives.
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
        # The nonce makes each question a job of its own: an old answer says nothing about now.
        receipt = client.enqueue(CheckHealth(model=model, nonce=uuid.uuid4().hex))
        return report_of(watch(client, screen, receipt.job_id, timeout))
