"""Changes of cells that a log had already, kept as `changes.csv` in its folder: what was corrected, and when.

With them and `known_at` of the fights, `log_known_before` gives back the log as it was at a moment.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pandas as pd

from engine.data.fight_log import FightLog, read_fight_log
from engine.data.fight_log_tables import canonical_moment
from engine.data.fight_log_versions import current_version
from engine.errors import ValidationError
from engine.fight_log_import.source_tables import to_records

CHANGES_FILE = "changes.csv"
COLUMNS = ("known_at", "change", "table", "fight_id", "fighter_id", "column", "before", "after", "source")

WHOLE_LINE = "*"
"""In place of a column: a line of statistics that a fight of the log did not have."""

ChangeKind = Literal["overturned", "corrected", "filled"]
_KEYS = {"fights": ("fight_id",), "stat_lines": ("fight_id", "fighter_id"), "fighters": ("fighter_id",)}


@dataclass(frozen=True, slots=True)
class CellChange:
    """A changed cell, as text; `fight_id` or `fighter_id` is "" where the table has none.

    Attributes
    ----------
    change
        `overturned`: another winner than announced. `corrected`: another value. `filled`: a value for a blank.
    known_at
        When the log got it; "" for a log that was made at once.
    """

    known_at: str
    change: ChangeKind
    table: str
    fight_id: str
    fighter_id: str
    column: str
    before: str
    after: str
    source: str


def write_changes(changes: Iterable[CellChange]) -> str:
    """Return the changes as CSV, in their order."""
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    rows.writerows([getattr(change, name) for name in COLUMNS] for change in changes)
    return text.getvalue()


def read_changes(text: str) -> list[CellChange]:
    """Return the changes of a CSV file. Raises ValueError for a file that is none."""
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    if tuple(rows.fieldnames or ()) != COLUMNS:
        raise ValueError(f"{CHANGES_FILE} needs the columns {list(COLUMNS)}, not {rows.fieldnames}")
    return [CellChange(**{name: row[name] for name in COLUMNS}) for row in rows]  # type: ignore[arg-type]


def read_log_known_before(folder: Path, moment: datetime) -> FightLog:
    """Read the log of a folder as it was before `moment`: without later fights, and without later corrections."""
    version = current_version(folder)
    kept = version / CHANGES_FILE
    changes = read_changes(kept.read_text(encoding="utf-8")) if kept.is_file() else []
    return log_known_before(read_fight_log(version), changes, moment)


def log_known_before(log: FightLog, changes: Sequence[CellChange], moment: datetime) -> FightLog:
    """Return a log as it was before `moment`.

    Parameters
    ----------
    log
        The log of today.
    changes
        All of its changes, oldest first.
    moment
        A time with its offset from UTC.

    Raises
    ------
    ValidationError
        If no fight is left, or `moment` has no offset.
    """
    if moment.tzinfo is None:
        raise ValidationError("the moment needs an offset from UTC: give one as 2026-11-21T23:05:00+00:00")
    text = canonical_moment(moment.astimezone(UTC).isoformat()) or ""
    later = [change for change in changes if change.known_at >= text]
    if not later:
        return log.known_before(moment)
    rows = {
        name: {tuple(row[key] for key in keys): row for row in to_records(getattr(log, name))}
        for name, keys in _KEYS.items()
    }
    for change in reversed(later):
        table = rows[change.table]
        key = tuple(getattr(change, name) for name in _KEYS[change.table])
        if change.column == WHOLE_LINE:
            table.pop(key, None)
        elif key in table:
            table[key][change.column] = change.before
    tables = {
        name: pd.DataFrame(list(kept.values()), columns=getattr(log, name).columns) for name, kept in rows.items()
    }
    return FightLog(tables["fights"], tables["stat_lines"], tables["fighters"]).known_before(moment)
