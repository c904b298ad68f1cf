"""The command `status`: the state of one job, or an overview of the service."""

from __future__ import annotations

import time
from typing import NoReturn

import click
from rich.console import Group
from rich.live import Live
from rich.text import Text

from ledger.contracts.failures import LedgerUnavailableError
from producer.client import Client, existing_status
from producer.operations.overview import overview
from producer.output.console import Console, json_option, pass_console
from producer.output.report_tables import status_table
from producer.output.status_tables import overview_group, overview_tables


@click.command()
@click.argument("job_id", required=False)
@click.option("--watch", is_flag=True, help="On a terminal: refresh until Ctrl-C.")
@click.option("--interval", type=click.FloatRange(min=0.2), default=1.0, show_default=True, metavar="SECONDS")
@json_option
@pass_console
def status(console: Console, job_id: str | None, watch: bool, interval: float) -> None:
    """Show the state of a job, or an overview.

    Without JOB_ID shows queues, pools, the outcomes of the last five minutes, dead letters, models, and controls that
    an operator has changed.
    """
    if job_id is not None and watch:
        raise click.UsageError("--watch is for all queues; for one job: cornerman result JOB_ID")
    with Client.from_env() as client:
        if job_id is not None:
            job = existing_status(client.status(job_id))
            console.output(job, status_table(job))
        elif watch and console.out.is_terminal and not console.as_json:
            _watch(client, console, interval)
        else:
            view = overview(client.ledger)
            console.output(view, *overview_tables(view))
            if not view.pools:
                console.note("No worker is alive. Start some: cornerman up, or cornerman worker --pool predict")


def _watch(client: Client, console: Console, interval_seconds: float) -> NoReturn:
    """Refresh the overview until Ctrl-C; while the server does not answer, show the error above the last one."""
    picture = overview_group(overview(client.ledger))
    with Live(picture, console=console.out, auto_refresh=False, screen=True) as live:
        while True:
            time.sleep(interval_seconds)
            try:
                picture = overview_group(overview(client.ledger))
                live.update(picture, refresh=True)
            except LedgerUnavailableError as error:
                live.update(Group(Text(f"{error}. Last overview:", style="bold red"), picture), refresh=True)
