"""What an importer gives: a source's fights, statistics and fighters in a fight log's columns, under the source's ids.

`clean_source` converts the cells as the reader of fight logs does, and finds impossible values. A source may leave
columns out, and cells blank: what a new fight lacks is found when it is added to a log.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.data.data_faults import FaultCollector, TableSource
from engine.data.fight_log_tables import FIGHTERS_TABLE, FIGHTS_TABLE, STAT_LINES_TABLE, Column, clean_table
from engine.fight_log_import.source_rows import ImportFault, Place, fault_at

Record = dict[str, Any]
"""A row in canonical form: text as str, numbers and flags as float, days as Timestamp."""

TABLES: dict[str, tuple[Column, ...]] = {
    name: tuple(replace(column, blank=True, required=False) for column in columns)
    for name, columns in (("fights", FIGHTS_TABLE), ("stat_lines", STAT_LINES_TABLE), ("fighters", FIGHTERS_TABLE))
}
"""The tables of a fight log with every cell optional."""
TABLES["fights"] += (Column("new_event", "text", required=False, blank=True),)
"""Name of the event for a fight that the log does not have yet; it replaces none."""

RANKS = {"tables": 3, "ufcstats": 3, "kaggle": 2, "ultimate": 1, "scores": 1}
"""Which source's values replace those of another: a higher or equal rank. A log without links ranks as 2."""
UNLINKED_RANK = 2
PARTIAL = ("ultimate", "kaggle", "scores")
"""Sources whose fights may be too incomplete for a log; those are listed and are no fault."""


@dataclass
class SourceTable:
    """Rows of one table as text, with the place of each; `names` are the source's names of the log's columns."""

    names: Mapping[str, str] = field(default_factory=dict)
    rows: list[dict[str, str]] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)

    def add(self, place: Place, cells: dict[str, str]) -> None:
        """Add a row."""
        self.rows.append(cells)
        self.places.append(place)


@dataclass
class SourceTables:
    """What an importer has read.

    Attributes
    ----------
    source
        Name of the source's id space, such as `ufcstats`.
    faults
        What is wrong; the rows concerned are not in the tables.
    notes
        Sentences about choices that the importer made.
    """

    source: str
    fights: SourceTable = field(default_factory=SourceTable)
    stat_lines: SourceTable = field(default_factory=SourceTable)
    fighters: SourceTable = field(default_factory=SourceTable)
    faults: list[ImportFault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass
class CleanSource:
    """The same in canonical form, by source id.

    Attributes
    ----------
    stat_lines
        Statistics by fight and then fighter, of both fighters or of none.
    places
        Place of each fight.
    columns
        The source's names of the columns of fights.
    """

    source: str
    fights: dict[str, Record]
    stat_lines: dict[str, dict[str, Record]]
    fighters: dict[str, Record]
    places: dict[str, Place]
    columns: Mapping[str, str]
    faults: list[ImportFault]
    notes: list[str]

    @property
    def rank(self) -> int:
        """The rank of its values."""
        return RANKS[self.source]


@dataclass
class RowFaults(FaultCollector):
    """A collector that names every faulty row, and remembers the rows of each table."""

    places: dict[str, list[Place]] = field(default_factory=dict)
    names: dict[str, Mapping[str, str]] = field(default_factory=dict)
    listed: list[ImportFault] = field(default_factory=list)
    rows: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    whole: list[str] = field(default_factory=list)

    def add(self, source: TableSource, message: str) -> None:
        """Add a fault of a whole table."""
        self.whole.append(f"{source.name}: {message}")

    def add_cells(
        self, source: TableSource, cells: pd.Series, wrong: pd.Series | NDArray[np.bool_], remedy: str
    ) -> bool:
        """Add every wrong cell of a column; return True if there are any."""
        rows = np.flatnonzero(np.asarray(wrong, dtype=np.bool_))
        for row in rows.tolist():
            place = self.places[source.name][row]
            column = str(cells.name)
            shown = self.names.get(source.name, {}).get(column, column)
            self.listed.append(fault_at(place, shown, str(cells.iloc[row]), remedy))
            self.rows[source.name].add(row)
        return bool(len(rows))


def clean_source(tables: SourceTables) -> CleanSource:
    """Convert what an importer has read; faulty fights, and the statistics with a faulty line, are left out."""
    faults = RowFaults()
    records = {}
    for name, columns in TABLES.items():
        table: SourceTable = getattr(tables, name)
        faults.places[name], faults.names[name] = table.places, table.names
        frame = pd.DataFrame(table.rows, columns=[column.name for column in columns], dtype=object).fillna("")
        records[name] = to_records(clean_table(frame, columns, TableSource(name), faults))
    fights, places = _by_id(records["fights"], tables.fights.places, "fight_id", faults, "fights")
    lines: dict[str, dict[str, Record]] = defaultdict(dict)
    line_places: dict[str, Place] = {}
    broken = {records["stat_lines"][row]["fight_id"] for row in faults.rows["stat_lines"]}
    for record, place in zip(records["stat_lines"], tables.stat_lines.places, strict=True):
        line_places.setdefault(record["fight_id"], place)
        if record["fighter_id"] in lines[record["fight_id"]]:
            remedy = "this fighter has two lines for this fight: leave one of them"
            faults.listed.append(fault_at(place, tables.stat_lines.names.get("fighter_id"), "", remedy))
            broken.add(record["fight_id"])
        lines[record["fight_id"]][record["fighter_id"]] = record
    whole = {fight: pair for fight, pair in lines.items() if fight not in broken and len(pair) == 2}
    for fight, pair in lines.items():
        if fight not in broken and len(pair) != 2:
            remedy = "a fight has statistics of both fighters or of none: add the other line"
            faults.listed.append(fault_at(line_places[fight], None, "", remedy))
    return CleanSource(
        source=tables.source,
        fights=fights,
        stat_lines={fight: pair for fight, pair in whole.items() if fight in fights},
        fighters={record["fighter_id"]: record for record in records["fighters"]},
        places=places,
        columns=tables.fights.names,
        faults=[*tables.faults, *faults.listed],
        notes=tables.notes,
    )


def to_records(frame: pd.DataFrame) -> list[Record]:
    """Return the rows of a canonical table, with flags as numbers."""
    flags = {name: np.float64 for name, kind in frame.dtypes.items() if kind == np.bool_}
    return frame.astype(flags).to_dict("records")  # type: ignore[return-value]


def is_missing(value: Any) -> bool:
    """Return True for a blank cell in canonical form."""
    return value is None or value == "" or value != value


def same(first: Any, second: Any) -> bool:
    """Return True if two cells in canonical form are the same, numbers but for the rounding of units."""
    if isinstance(first, float) and isinstance(second, float) and math.isclose(first, second, rel_tol=1e-9):
        return True
    return bool(first == second) or (is_missing(first) and is_missing(second))


def digest_of(*records: Record) -> str:
    """Return a short digest of rows."""
    content = [[[name, as_cell(value)] for name, value in sorted(record.items())] for record in records]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def as_cell(value: Any) -> str:
    """Return a cell in canonical form as text, as a CSV file of a log has it."""
    if is_missing(value):
        return ""
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d}"
    if isinstance(value, float | bool | np.floating | np.bool_):
        return f"{float(value):.12g}"
    return str(value)


def _by_id(
    records: Iterable[Record], places: Iterable[Place], name: str, faults: RowFaults, table: str
) -> tuple[dict[str, Record], dict[str, Place]]:
    found: dict[str, Record] = {}
    at: dict[str, Place] = {}
    for row, (record, place) in enumerate(zip(records, places, strict=True)):
        if row in faults.rows[table]:
            continue
        if record[name] in found:
            remedy = f"is also the id of {at[record[name]].file} line {at[record[name]].line}: leave one of them"
            faults.listed.append(fault_at(place, faults.names[table].get(name, name), record[name], remedy))
            continue
        found[record[name]], at[record[name]] = record, place
    return found, at
