"""Commands about invalid queue items, which no ledger wrote: `quarantine list`, `purge`."""

from __future__ import annotations

import click

from ledger.jobs.claims import QUEUES
from producer.client import Client
from producer.output.console import Console, json_option, pass_console
from producer.output.report_tables import records_table

SHOWN_CHARACTERS = 200


@click.group()
@json_option
def quarantine() -> None:
    """Manage queue items that no ledger wrote.

    None of them was run. They are stored for inspection, and an alert fires, until they are purged.
    """


@quarantine.command("list")
@click.option(
    "--limit", type=click.IntRange(min=1), default=100, show_default=True, help="Maximum number to show of each queue."
)
@json_option
@pass_console
def list_items(console: Console, limit: int) -> None:
    """List the items of each queue, newest first.

    Items are shown as Python bytes literals.
    """
    with Client.from_env() as client:
        found = [(queue, item) for queue in QUEUES for item in client.ledger.quarantine.items(queue, limit)]
    rows = [{"queue": queue, "bytes": len(item), "item": repr(item)} for queue, item in found]
    short = [{**row, "item": str(row["item"])[:SHOWN_CHARACTERS]} for row in rows]
    tables = [records_table("Quarantine", ["queue", "bytes", "item"], short)] if rows else []
    console.output({"quarantine": rows}, *tables)
    console.note("Check which users may write there: deploy/users.md." if rows else "The quarantine is empty.")


@quarantine.command()
@json_option
@pass_console
def purge(console: Console) -> None:
    """Delete all items."""
    with Client.from_env() as client:
        purged = sum(client.ledger.quarantine.purge(queue) for queue in QUEUES)
    console.output({"purged": purged})
    console.note(f"{purged} purged.")
