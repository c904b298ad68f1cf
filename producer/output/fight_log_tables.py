"""Tables of the report of an import into a fight log. Layout only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from ledger.contracts.job_reports.fight_log_report import FightLogReport
from producer.output.table_parts import NOTHING, wrapping_table

MAX_SHOWN = 20
TITLES = {
    "changes": "Changed in the log",
    "proposals": "Linked, because only one of the log can be meant",
    "cases": "Not imported",
    "faults": "Faults",
}
COUNTED = {
    "added_fights": "new fights",
    "added_fighters": "new fighters",
    "changes": "changed values",
    "overturned": "changed winners",
    "proposals": "links",
    "cases": "not imported",
    "faults": "faults",
}
_COLUMNS = {
    "changes": ("change", "fight_id", "fighter_id", "column", "before", "after", "source"),
    "proposals": ("kind", "source", "source_id", "log_id", "how"),
    "cases": ("case", "source", "text"),
    "faults": ("file", "line", "column", "value", "remedy"),
}


def fight_log_tables(report: FightLogReport) -> list[Table]:
    """Return the tables of an import: what was read, the counts, and the first entries of each list."""
    done = "Would change" if report.dry_run else "Changed"
    title = f"{done}: {report.log}" if report.changed else f"Nothing new: {report.log} stays as it is"
    about = wrapping_table(title, "source", "found", "fights")
    for source in report.sources:
        about.add_row(Text(source.path), Text(source.found), f"{source.fights:,}")
    counts = report.counts
    about.caption = ", ".join(f"{counts.get(name, 0):,} {words}" for name, words in COUNTED.items())
    if report.digest is not None:
        about.caption += f"; digest {report.digest[:12]}"
    about.caption += "".join(f"\nNot ready for a training: {warning}" for warning in report.warnings)
    if report.results is not None:
        about.caption += "\nResults of the ledger: " + ", ".join(f"{n:,} {what}" for what, n in report.results.items())
    shown = ((name, getattr(report, name)) for name in TITLES)
    return [about, *(_list(name, entries, counts.get(name, 0)) for name, entries in shown if entries)]


def _list(name: str, entries: Sequence[Any], total: int) -> Table:
    table = wrapping_table(TITLES[name], *(column.replace("_", " ") for column in _COLUMNS[name]))
    for entry in entries[:MAX_SHOWN]:
        cells = (getattr(entry, column) for column in _COLUMNS[name])
        table.add_row(*(Text(str(cell) if cell not in (None, "") else NOTHING) for cell in cells))
    if total > MAX_SHOWN:
        table.caption = f"{total:,} in total; all are in last-import.json in the folder of the log, or --report FILE"
    return table
