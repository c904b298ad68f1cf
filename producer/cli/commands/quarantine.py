"""Commands about what no ledger wrote into a queue: `quarantine list`, `purge`."""

from __future__ import annotations

import click

from ledger.jobs.claims import QUEUES
from producer.cli.output.console import Screen, json_option, pass_screen
from producer.cli.output.report_tables import records_table
from producer.client import Client

SHOWN_CHARACTERS = 200


@click.group()
@json_option
def quarantine() -> None:
    """Look after what a stranger wrote into a queue.

    Nothing of it was run. It is kept for a look, and an alert stands, until it is purged.
    """


@quarantine.command("list")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="Show so many of each queue.")
@json_option
@pass_screen
def list_items(screen: Screen, limit: int) -> None:
    """List the items of each queue, newest first, as Python would write their bytes."""
    with Client.from_env() as client:
        found = [(queue, item) for queue in QUEUES for item in client.ledger.quarantine.items(queue, limit)]
    rows = [{"queue": queue, "bytes": len(item), "item": repr(item)} for queue, item in found]
    short = [{**row, "item": str(row["item"])[:SHOWN_CHARACTERS]} for row in rows]
    tables = [records_table("Quarantine", ["queue", "bytes", "item"], short)] if rows else []
    screen.answer({"quarantine": rows}, *tables)
    screen.remark("Who may write there? See deploy/users.md." if rows else "Nothing is in the quarantine.")


@quarantine.command()
@json_option
@pass_screen
def purge(screen: Screen) -> None:
    """Throw all items away."""
    with Client.from_env() as client:
        purged = sum(client.ledger.quarantine.purge(queue) for queue in QUEUES)
    screen.answer({"purged": purged})
    screen.remark(f"{purged} purged.")
