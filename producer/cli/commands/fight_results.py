"""Commands about results of fights: `fight-results add`, `fight-results list`."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO

import click
from rich.table import Table

from ledger.contracts.jobs import ReviewModel
from ledger.models.aliases import CHAMPION
from ledger.models.fight_results import FightResult, ResultChange, changed_at
from producer.cli.options.audit import user_option
from producer.cli.output.console import Screen, json_option, pass_screen
from producer.cli.output.report_tables import records_table
from producer.client import Client
from producer.feed.fight_results_file import MAX_FILE_BYTES, read_results

_YEAR = timedelta(days=366)


@click.group()
@json_option
def fight_results() -> None:
    """Feed results back, to hold models against them."""


@fight_results.command()
@click.argument("file", type=click.File("rb"), metavar="FILE.csv")
@user_option
@json_option
@pass_screen
def add(screen: Screen, file: BinaryIO, user: str) -> None:
    """Add results from a CSV file (also .gz; - for stdin).

    Columns date, winner, and red and blue, or fighter_1 and fighter_2; a fight log's `fights` file is one. The winner
    is a name, red, blue, draw or nc. A file with a fault adds nothing. Adding a result twice is once; one that differs
    replaces the old one, which `cornerman fight-results list --changes` still shows. Then the champion is reviewed.
    """
    content = file.read(MAX_FILE_BYTES + 1)
    with Client.from_env() as client:
        tomorrow = datetime.fromtimestamp(client.ledger.server.time(), UTC).date() + timedelta(days=1)
        read = read_results(content, tomorrow)
        added = client.ledger.fight_results.add(read.results, user=user)
        review = _review(client) if added.added or added.corrected else None
    said = f"{added.added:,} added, {added.corrected:,} corrected, {added.unchanged:,} were there already."
    screen.answer({"results": added, "review": review}, said)
    if review is not None:
        screen.remark(f"The champion is reviewed: cornerman result {review}")
    if read.passed_over:
        screen.remark(f"{read.passed_over} lines were passed over: the same two met twice on one day.")


@fight_results.command("list")
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), metavar="DAY", help="From this day on; default: a year.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="Show so many at most.")
@click.option("--changes", is_flag=True, help="Show what came and what was corrected, newest first.")
@json_option
@pass_screen
def list_results(screen: Screen, since: datetime | None, limit: int, changes: bool) -> None:
    """List results, the newest days first."""
    with Client.from_env() as client:
        if changes:
            _show_changes(screen, client.ledger.fight_results.changes(limit))
            return
        day = since.date() if since else datetime.fromtimestamp(client.ledger.server.time(), UTC).date() - _YEAR
        found = sorted(
            client.ledger.fight_results.all(day), key=lambda result: (result.date, result.name), reverse=True
        )
    rows = [_row(result) for result in found[:limit]]
    screen.answer({"results": found[:limit], "known": len(found)}, *_tables("Results", rows))
    if not found:
        screen.remark("No results. Add some: cornerman fight-results add FILE.csv")
    elif len(found) > limit:
        screen.remark(f"{len(found):,} in all; --limit shows more.")


def _review(client: Client) -> str | None:
    """Have the champion held against what is known now; return the job. None where there is no champion."""
    champion = client.ledger.aliases.resolve(CHAMPION)
    return None if champion is None else client.enqueue(ReviewModel(model=champion, nonce=uuid.uuid4().hex)).job_id


def _show_changes(screen: Screen, changes: list[ResultChange]) -> None:
    rows = [
        {
            "at": changed_at(change),
            "who": change.who,
            **_row(change.after),
            "before": None if change.before is None else _row(change.before)["result"],
        }
        for change in changes
    ]
    screen.answer({"changes": changes}, *_tables("Changes of results, newest first", rows))
    if not changes:
        screen.remark("No result was ever added.")


def _row(result: FightResult) -> dict[str, Any]:
    first, second = result.fighters
    ended = result.ending.replace("_", " ") if result.winner is None else f"{result.fighters[result.winner]} won"
    return {"date": result.date, "fighters": f"{first} v {second}", "result": ended}


def _tables(title: str, rows: list[dict[str, Any]]) -> list[Table]:
    return [records_table(title, list(rows[0]), rows)] if rows else []
