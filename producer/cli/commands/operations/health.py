"""The command `health`: check that a worker, or one pool, can predict cards."""

from __future__ import annotations

import time
import uuid

import click

from ledger.contracts.failures import UnknownJobError
from ledger.contracts.jobs import CheckHealth
from ledger.contracts.reports import HealthReport, Report
from producer.client import Client, require_report
from producer.output.console import Console, json_option, pass_console
from producer.output.exit_codes import ExitCode
from producer.output.progress import wait_with_progress
from producer.output.report_tables import checks_table, report_tables
from producer.service.http_health import fetch_pool_health


@click.command()
@click.option("--model", default="champion", show_default=True, help="Alias or digest of the model.")
@click.option("--url", metavar="URL", help="Query this pool over HTTP, not through the queue: http://HOST:PORT.")
@click.option("--timeout", type=click.FloatRange(min=0), default=30.0, show_default=True, metavar="SECONDS")
@json_option
@pass_console
def health(console: Console, model: str, url: str | None, timeout: float) -> None:
    """Have a worker load a model and verify it.

    With --url queries the readiness checks of one pool, as a process supervisor would; with the path /healthz only its
    liveness.
    """
    if url is not None:
        pool = fetch_pool_health(url, timeout)
        console.output(pool, checks_table(pool.checks))
        healthy = pool.status == "passed"
    else:
        report = _ask_worker(console, model, timeout)
        console.output(report, *report_tables(report))
        healthy = isinstance(report, HealthReport) and report.status == "healthy"
    if not healthy:
        click.get_current_context().exit(ExitCode.FAILED)


def _ask_worker(console: Console, model: str, timeout: float) -> Report:
    with Client.from_env() as client:
        # The nonce makes each check a new job, so that no stored report is shown.
        job = CheckHealth(model=model, nonce=uuid.uuid4().hex)
        end = time.monotonic() + timeout
        while True:
            job_id = client.enqueue(job).job_id
            left = max(0.0, end - time.monotonic())
            try:
                return require_report(wait_with_progress(client, console, job_id, left))
            except UnknownJobError:
                # A failover has lost the submission, and no worker knows of it.
                if time.monotonic() >= end:
                    raise
                console.note("The server has lost the check, as in a failover; it is submitted again.")
