"""Commands about the results of fights: `fight-results add`, `fight-results list`."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO

import click
from rich.table import Table

from ledger.contracts.jobs import ReviewModel
from ledger.models.aliases import CHAMPION
from ledger.models.fight_results import FightResult, FightResultChange, changed_at
from producer.cli.options.audit import user_option
from producer.client import Client
from producer.feed.fight_results_file import MAX_FILE_BYTES, read_results
from producer.output.console import Console, json_option, pass_console
from producer.output.report_tables import records_table

_YEAR = timedelta(days=366)


@click.group()
@json_option
def fight_results() -> None:
    """Manage the results of fights.

    Models are evaluated with these results.
    """


@fight_results.command()
@click.argument("file", type=click.File("rb"), metavar="FILE.csv")
@user_option
@json_option
@pass_console
def add(console: Console, file: BinaryIO, user: str) -> None:
    """Add results from a CSV file (also .gz; - for stdin).

    The columns are date, winner, and red and blue, or fighter_1 and fighter_2, as in a fight log's `fights` file. The
    winner is a name, red, blue, draw or nc. A file with a fault adds nothing. Adding a result again has no effect. A
    different result replaces the old one, which `cornerman fight-results list --changes` still shows. Afterwards the
    champion is reviewed.
    """
    content = file.read(MAX_FILE_BYTES + 1)
    with Client.from_env() as client:
        tomorrow = datetime.fromtimestamp(client.ledger.server.time(), UTC).date() + timedelta(days=1)
        read = read_results(content, tomorrow)
        added = client.ledger.fight_results.add(read.results, user=user)
        review = _review(client) if added.added or added.corrected else None
    summary = f"{added.added:,} added, {added.corrected:,} corrected, {added.unchanged:,} unchanged."
    console.output({"results": added, "review": review}, summary)
    if review is not None:
        console.note(f"A review of the champion is enqueued. Show it: cornerman result {review}")
    if read.skipped:
        console.note(f"{read.skipped} lines were skipped: the same fighters met twice on one day.")


@fight_results.command("list")
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), metavar="DAY", help="First day; default: a year ago.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="Maximum number to show.")
@click.option("--changes", is_flag=True, help="Show added and corrected results, newest first.")
@json_option
@pass_console
def list_results(console: Console, since: datetime | None, limit: int, changes: bool) -> None:
    """List results, newest first."""
    with Client.from_env() as client:
        if changes:
            _show_changes(console, client.ledger.fight_results.changes(limit))
            return
        day = since.date() if since else datetime.fromtimestamp(client.ledger.server.time(), UTC).date() - _YEAR
        found = sorted(client.ledger.fight_results.all(day), key=lambda result: (result.date, result.key), reverse=True)
    rows = [_row(result) for result in found[:limit]]
    console.output({"results": found[:limit], "known": len(found)}, *_tables("Results", rows))
    if not found:
        console.note("No results. Add some: cornerman fight-results add FILE.csv")
    elif len(found) > limit:
        console.note(f"{len(found):,} in total; --limit shows more.")


def _review(client: Client) -> str | None:
    """Enqueue a review of the champion and return the job's id; None if there is no champion."""
    champion = client.ledger.aliases.resolve(CHAMPION)
    return None if champion is None else client.enqueue(ReviewModel(model=champion, nonce=uuid.uuid4().hex)).job_id


def _show_changes(console: Console, changes: list[FightResultChange]) -> None:
    rows = [
        {
            "at": changed_at(change),
            "who": change.who,
            **_row(change.after),
            "before": None if change.before is None else _row(change.before)["result"],
        }
        for change in changes
    ]
    console.output({"changes": changes}, *_tables("Changes of results, newest first", rows))
    if not changes:
        console.note("No results have been added.")


def _row(result: FightResult) -> dict[str, Any]:
    first, second = result.fighters
    ended = result.ending.replace("_", " ") if result.winner is None else f"{result.fighters[result.winner]} won"
    return {"date": result.date, "fighters": f"{first} v {second}", "result": ended}


def _tables(title: str, rows: list[dict[str, Any]]) -> list[Table]:
    return [records_table(title, list(rows[0]), rows)] if rows else []
