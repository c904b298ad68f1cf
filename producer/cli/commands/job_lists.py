"""Commands about stored jobs: `jobs list`, `jobs show`."""

from __future__ import annotations

from datetime import datetime, timedelta

import click

from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import ROUTES
from ledger.jobs.job_index import STATES
from ledger.ledger import JobPage, JobQuery, JobSummary, Ledger
from producer.cli.options.moments import MomentOrAgeParam, moment_of
from producer.client import Client
from producer.output.console import Console, json_option, pass_console
from producer.output.job_tables import history_tables, jobs_table

MAX_LIMIT = 10_000
_STATES = [state.value for state in STATES]


@click.group()
@json_option
def jobs() -> None:
    """List and search stored jobs, and show the history of one."""


@jobs.command("list")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(_STATES),
    help="Only this state. Repeatable.",
)
@click.option(
    "--kind", "kinds", multiple=True, type=click.Choice(sorted(ROUTES)), help="Only this kind of job. Repeatable."
)
@click.option("--caller", metavar="NAME", help="Only jobs that this caller submitted.")
@click.option("--card", "card_id", metavar="CARD", help="Only jobs of this card.")
@click.option(
    "--since", type=MomentOrAgeParam(), metavar="TIME", help="Submitted at or after this time, or age: 30min, 12h, 7d."
)
@click.option("--until", type=MomentOrAgeParam(), metavar="TIME", help="Submitted before this time, or age.")
@click.option(
    "--internal", is_flag=True, help="Also the jobs that workers submit for each other: shadow cards and parts."
)
@click.option(
    "--limit", type=click.IntRange(1, MAX_LIMIT), default=50, show_default=True, help="Maximum number to show."
)
@click.option("--cursor", metavar="CURSOR", help="Continue after an earlier list, by its cursor.")
@json_option
@pass_console
def list_jobs(
    console: Console,
    states: tuple[str, ...],
    kinds: tuple[str, ...],
    caller: str | None,
    card_id: str | None,
    since: datetime | timedelta | None,
    until: datetime | timedelta | None,
    internal: bool,
    limit: int,
    cursor: str | None,
) -> None:
    """List jobs by the time at which they were submitted, newest first.

    Archived jobs are in a list of their own: cornerman archive list.
    """
    with Client.from_env() as client:
        now_seconds = client.ledger.server.time()
        query = JobQuery(
            states=tuple(map(JobState, states)),
            kinds=kinds,
            caller=caller,
            card_id=card_id,
            since=moment_of(since, now_seconds),
            until=moment_of(until, now_seconds),
            internal=internal,
        )
        page = _full_page(client.ledger, query, limit, cursor)
        archived = client.ledger.job_archive.state() if page.cursor is None else None
    console.output(page, *([jobs_table(page.jobs)] if page.jobs else []))
    if not page.jobs:
        console.note("No such jobs.")
    if page.cursor is not None:
        console.note(f"There are older ones: --cursor '{page.cursor}'")
    if archived is not None and archived.outcomes:
        console.note(f"{archived.outcomes:,} archived jobs are not in this list: cornerman archive list")


def _full_page(ledger: Ledger, query: JobQuery, limit: int, cursor: str | None) -> JobPage:
    """Read pages until there are `limit` jobs, or no more."""
    found: list[JobSummary] = []
    while True:
        page = ledger.job_index.page(query, limit=min(limit - len(found), 1_000), cursor=cursor)
        found += page.jobs
        cursor = page.cursor
        if cursor is None or len(found) == limit:
            return JobPage(jobs=found, cursor=cursor)


@jobs.command()
@click.argument("job_id")
@json_option
@pass_console
def show(console: Console, job_id: str) -> None:
    """Show one job: who submitted it, each claim and how it ended, and its outcome's provenance."""
    with Client.from_env() as client:
        history = client.ledger.job_histories.get(job_id)
    console.output(history, *history_tables(history))
