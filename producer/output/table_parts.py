"""Parts shared by tables: styles, percentages, durations, a table of failures.

Untrusted text is wrapped in `Text`, so that it is never parsed as markup.
"""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from ledger.contracts.failures import Failure

NOTHING = "-"
STYLES = {
    "bet": "bold green",
    "succeeded": "green",
    "waiting": "blue",
    "running": "cyan",
    "failed": "red",
    "expired": "yellow",
    "cancelled": "yellow",
    "unknown": "red",
    "forgotten": "yellow",
    "archived": "yellow",
}


def percent(share: float | None) -> str:
    """Format a share as a percentage; a dash for None."""
    return NOTHING if share is None else f"{share:.1%}"


def duration_text(seconds: float) -> str:
    """Format a duration in its two largest units."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [f"{count} {unit}" for count, unit in ((days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")) if count]
    return " ".join(parts[:2]) or "0 s"


def failures_table(failures: Iterable[tuple[str, Failure]], *, title: str = "Failures") -> Table:
    """Return a table of failures with their codes and messages."""
    table = wrapping_table(title, "what", "code", "message")
    for what, failure in failures:
        table.add_row(Text(what), Text(failure.code, style=STYLES["failed"]), Text(failure.message))
    return table


def wrapping_table(title: str, *columns: str) -> Table:
    """Return an empty table that wraps long cells instead of cutting them."""
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
