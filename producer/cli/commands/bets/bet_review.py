"""Commands that look back on bets: `bets review`, `bets export`."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import click

from ledger.contracts.bets import BetMode
from ledger.contracts.job_reports.bets_report import BetsReport
from ledger.contracts.jobs import ReviewBets
from producer.betting.bets_export import Format, bet_rows, write_bets
from producer.cli.options.idempotency import receipt_text
from producer.cli.options.moments import MomentOrAgeParam, moment_of
from producer.client import Client, require_report
from producer.output.bet_review.page import write_review_page
from producer.output.console import Console, json_option, pass_console
from producer.output.progress import wait_with_progress
from producer.output.report_tables import report_tables

Command = TypeVar("Command", bound=Callable[..., Any])


def _chosen_bets(default_mode: str) -> Callable[[Command], Command]:
    """Return a decorator that adds `--mode`, `--since` and `--until`."""

    def decorate(command: Command) -> Command:
        moment = MomentOrAgeParam()
        for option in (
            click.option("--until", type=moment, metavar="TIME|AGE", help="Cards that begin before this time."),
            click.option("--since", type=moment, metavar="TIME|AGE", help="Cards that begin from this time on."),
            click.option("--mode", type=click.Choice(["paper", "live"]), help=f"Mode; default: {default_mode}."),
        ):
            command = option(command)
        return command

    return decorate


@click.command()
@_chosen_bets("the present one")
@click.option("--rule", metavar="DIGEST", help="Only bets by the rules whose digest begins so.")
@click.option(
    "--tried",
    type=click.IntRange(0, 1_000),
    default=0,
    metavar="N",
    help="Number of rules that were tried in all, also those without bets; default: those with bets.",
)
@click.option(
    "--html", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write the review as one HTML page."
)
@click.option("--wait", is_flag=True, help="Wait, and show the review; --html implies it.")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Limit of --wait; default: none.")
@json_option
@pass_console
def review(
    console: Console,
    mode: BetMode | None,
    since: datetime | timedelta | None,
    until: datetime | timedelta | None,
    rule: str | None,
    tried: int,
    html: Path | None,
    wait: bool,
    timeout: float | None,
) -> None:
    """Review settled bets: return, closing-line value and drawdown.

    All figures are given in total, for each set of decision rules, each bookmaker and each band of probability, with
    95% intervals by event. Fights that were abstained from are reviewed by their reasons: what the best side at the
    offered price would have made.
    """
    with Client.from_env() as client:
        now = client.ledger.server.time()
        job = ReviewBets(
            mode=mode,
            since=moment_of(since, now),
            until=moment_of(until, now),
            rule=rule,
            rules_tried=tried,
            nonce=uuid.uuid4().hex,
        )
        receipt = client.enqueue(job)
        if not wait and html is None:
            console.output(receipt, receipt_text(receipt))
            return
        report = require_report(wait_with_progress(client, console, receipt.job_id, timeout))
    console.output(report, *report_tables(report))
    if html is not None and isinstance(report, BetsReport):
        write_review_page(report, html)
        console.note(f"Written to {html}: open it in a browser")


@click.command()
@_chosen_bets("both")
@click.option("--format", "kind", type=click.Choice(["csv", "parquet"]), default="csv", show_default=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    metavar="FILE",
    help="File to write.",
)
@json_option
@pass_console
def export(
    console: Console,
    mode: BetMode | None,
    since: datetime | timedelta | None,
    until: datetime | timedelta | None,
    kind: Format,
    output: Path,
) -> None:
    """Write bets to a file, a row for each with what became of it.

    Amounts are in the smallest unit of the currency.
    """
    with Client.from_env() as client:
        now = client.ledger.server.time()
        rows = bet_rows(client.ledger, mode=mode, since=moment_of(since, now), until=moment_of(until, now))
    write_bets(rows, output, kind)
    console.output({"file": str(output), "bets": len(rows)}, f"{len(rows):,} bets written to {output}")
