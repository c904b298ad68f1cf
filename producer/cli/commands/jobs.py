"""Commands about single jobs: `result`, `follow`, `cancel`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice

import click

from ledger.contracts.failures import LedgerError
from ledger.contracts.job_state import JobState, Outcome
from ledger.contracts.jobs import ROUTES
from ledger.jobs.outcome_reader import OutcomesMissedError
from producer.client import Client, existing_status, require_report
from producer.output.console import Console, json_option, pass_console
from producer.output.progress import fetch_card, retry_until_available, wait_with_progress
from producer.output.report_tables import outcome_line, report_tables, status_table


@click.command()
@click.argument("job_id")
@click.option("--timeout", type=click.FloatRange(min=0), default=60.0, show_default=True, metavar="SECONDS")
@json_option
@pass_console
def result(console: Console, job_id: str, timeout: float) -> None:
    """Wait for a job's outcome and show it."""
    with Client.from_env() as client:
        outcome = wait_with_progress(client, console, job_id, timeout)
        report, card = require_report(outcome), fetch_card(client, outcome)
    console.output(outcome, *report_tables(report, card))
    if (newer := outcome.superseded_by) is not None:
        console.note(f"Job {newer} has newer prices of this card: cornerman result {newer}")


@click.command()
@click.option(
    "--after", default="$", show_default=True, help="Position of the last outcome seen; 0: the oldest stored."
)
@click.option(
    "--kind", "kinds", multiple=True, type=click.Choice(sorted(ROUTES)), help="Show only this kind of job. Repeatable."
)
@click.option("--limit", type=click.IntRange(min=1), help="Stop after this number of outcomes.")
@json_option
@pass_console
def follow(console: Console, after: str, kinds: tuple[str, ...], limit: int | None) -> None:
    """Show every outcome as it arrives, with the bets of cards.

    Runs until Ctrl-C or --limit. With --json prints one document a line. Health checks are shown only if --kind names
    them. If the server stops answering, the command waits and continues after the last outcome shown. If the stream
    drops outcomes because this command reads too slowly, a note counts them (with --json: `missed`).
    """
    shown_kinds = set(kinds) or set(ROUTES) - {"check_health"}
    with Client.from_env() as client:
        outcomes = (found for found in _outcomes(client, console, after) if found[1].kind in shown_kinds)
        for place, outcome in islice(outcomes, limit):
            console.output({"place": place, "outcome": outcome}, outcome_line(place, outcome))
            sys.stdout.flush()


def _outcomes(client: Client, console: Console, after: str) -> Iterator[tuple[str, Outcome]]:
    """Yield outcomes as `Client.follow` does, through outages of the server."""

    def missed(gone: OutcomesMissedError) -> None:
        console.note(f"Outcomes missed: {gone}")
        console.output({"missed": {"count": gone.count, "after": gone.after, "place": gone.place}})

    place = retry_until_available(client, console, client.ledger.latest_place) if after == "$" else after
    stream: Iterator[tuple[str, Outcome]] | None = None

    def following() -> tuple[str, Outcome]:
        nonlocal stream
        try:
            stream = stream or client.follow(place, on_missed=missed)
            return next(stream)
        except LedgerError:
            stream = None  # a generator that raised cannot be resumed
            raise

    while True:
        try:
            place, outcome = retry_until_available(client, console, following)
            yield place, outcome
        except OutcomesMissedError as gone:
            if place == after:  # the position given with --after is gone
                raise
            missed(gone)
            place = gone.place


@click.command()
@click.argument("job_id")
@json_option
@pass_console
def cancel(console: Console, job_id: str) -> None:
    """Cancel a job that is waiting, queued or running. Those that wait for it end, too."""
    with Client.from_env() as client:
        job = existing_status(client.cancel(job_id))
    if job.state is not JobState.CANCELLED:
        raise LedgerError(f"job {job_id} had already ended as {job.state}; its outcome stays")
    console.output(job, status_table(job))
