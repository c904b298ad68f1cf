"""The fight log: past fights with statistics and biographies, the only data that features and training read.

A `FightLog` is always valid: its tables (see `engine.data.fight_log_tables`) are canonical, sorted and consistent with
each other. The meaning of a column is left to `engine.data.fighter_state`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from engine.data.data_faults import FaultCollector, TableSource
from engine.data.declared_records import check_declared_records
from engine.data.fight_log_plausibility import check_plausibility
from engine.data.fight_log_tables import (
    DECLARED_COUNTS,
    FIGHTERS_TABLE,
    FIGHTS_TABLE,
    STAT_LINES_TABLE,
    TABLE_SUFFIXES,
    Column,
    clean_table,
    find_table,
    read_table,
    with_boolean_flags,
    write_table,
)
from engine.data.fight_log_versions import current_version
from engine.errors import ValidationError

TABLE_COLUMNS: dict[str, tuple[Column, ...]] = {
    "fights": FIGHTS_TABLE,
    "stat_lines": STAT_LINES_TABLE,
    "fighters": FIGHTERS_TABLE,
}
_ADDED_COLUMNS = ("announced_winner", "history_only", "known_at", *DECLARED_COUNTS, "declared_last_bout")
"""Optional columns that the digest leaves out while they are blank, so that older logs keep theirs."""
_SORTED_BY = {
    "fights": ["date", "fight_id"],
    "stat_lines": ["fight_id", "fighter_id"],
    "fighters": ["fighter_id"],
}


@dataclass(frozen=True, eq=False)
class FightLog:
    """Fights sorted by date and id, stat lines by fight and fighter, fighters by id.

    Parameters
    ----------
    fights, stat_lines, fighters
        Tables with the columns of `engine.data.fight_log_tables`, in any order of rows and with cells as text or
        typed; they are copied.
    sources
        Sources of the three tables, for messages.

    Raises
    ------
    DataFaultsError
        With every kind of wrong cell or reference: table, column, row and remedy.
    """

    fights: pd.DataFrame
    stat_lines: pd.DataFrame
    fighters: pd.DataFrame
    sources: InitVar[Sequence[TableSource]] = tuple(TableSource(name) for name in TABLE_COLUMNS)

    def __post_init__(self, sources: Sequence[TableSource]) -> None:
        """Convert the tables to canonical form. Raises DataFaultsError if that is impossible."""
        faults = FaultCollector()
        clean = clean_log_tables(
            {name: getattr(self, name) for name in TABLE_COLUMNS},
            dict(zip(TABLE_COLUMNS, sources, strict=True)),
            faults,
        )
        faults.raise_if_any()
        self._set_tables(clean)

    def _set_tables(self, clean: dict[str, pd.DataFrame]) -> None:
        for name, columns in TABLE_COLUMNS.items():
            frame = with_boolean_flags(clean[name], columns).sort_values(_SORTED_BY[name], ignore_index=True)
            object.__setattr__(self, name, frame)

    @property
    def announced_winners(self) -> pd.Series:
        """Winner announced on the day, (n,): red, blue, draw or nc.

        Models learn from it and are scored on it: bets are settled by it, and until a result is overturned, months
        later, it is the known one. The final result would look ahead.
        """
        announced = self.fights["announced_winner"]
        return announced.where(announced != "", self.fights["winner"])

    @property
    def is_label(self) -> pd.Series:
        """True for fights that models learn from and are scored on, bool (n,): decided, and not `history_only`."""
        return self.announced_winners.isin(["red", "blue"]) & ~self.fights["history_only"]

    @property
    def data_cutoff(self) -> date:
        """Day of the last fight."""
        day: date = self.fights["date"].iloc[-1].date()
        return day

    def before(self, cutoff: date) -> FightLog:
        """Return the log as it was before `cutoff`: fights strictly earlier, and their stat lines.

        Biographies stay, because they do not depend on results. Raises ValidationError if no fight is left.
        """
        fights = self.fights[self.fights["date"] < pd.Timestamp(cutoff)]
        if fights.empty:
            first = self.fights["date"].iloc[0].date()
            raise ValidationError(f"no fight before {cutoff}: the log starts on {first}, choose a later cutoff")
        lines = self.stat_lines[self.stat_lines["fight_id"].isin(fights["fight_id"])]
        return FightLog(fights, lines, self.fighters)

    def known_before(self, moment: datetime) -> FightLog:
        """Return the fights that the log had before `moment`, and their stat lines.

        A fight without `known_at` counts as known from the day after it, in UTC. Cells are those of today: what was
        corrected later is set back by `engine.fight_log_import.changes.log_known_before`. Raises ValidationError if no
        fight is left.
        """
        if moment.tzinfo is None:
            raise ValidationError("the moment needs an offset from UTC: give one as 2026-11-21T23:05:00+00:00")
        text = f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        known = self.fights["known_at"]
        listed = (self.fights["date"] + pd.Timedelta(days=1)).dt.strftime("%Y-%m-%dT%H:%M:%SZ")
        fights = self.fights[known.where(known != "", listed) < text]
        if fights.empty:
            raise ValidationError(f"the log had no fight before {text}: choose a later moment")
        return FightLog(fights, self.stat_lines[self.stat_lines["fight_id"].isin(fights["fight_id"])], self.fighters)

    def digest(self) -> str:
        """Return the SHA-256 of the content, the same for any file format and any order of rows or columns."""
        content = hashlib.sha256()
        for table, columns in TABLE_COLUMNS.items():
            frame = getattr(self, table)
            for column in columns:
                if column.name in _ADDED_COLUMNS and _is_blank(frame[column.name], column):
                    continue
                content.update(f"{table}.{column.name}[{len(frame)}]".encode())
                content.update(_bytes(frame[column.name], column))
        return content.hexdigest()


def read_fight_log(folder: Path, today: date | None = None) -> FightLog:
    """Read `fights`, `stat_lines` and `fighters` (.csv, .csv.gz or .parquet) from `folder`.

    Parameters
    ----------
    folder
        The folder with the three tables.
    today
        Results may be dated one day later at most; by default the day in UTC.

    Raises
    ------
    DataFaultsError
        With the faults of all files, each with its file, column, line and number of rows. Decisive fights with
        winners on one side only are a fault, because nothing can be learnt from them.
    ValidationError
        If `folder` is not a folder.
    """
    if not folder.is_dir():
        raise ValidationError(f"{folder} is not a folder: name one with fights, stat_lines and fighters tables")
    folder = current_version(folder)
    faults, tables, sources = FaultCollector(), {}, {name: TableSource(name) for name in TABLE_COLUMNS}
    for name in TABLE_COLUMNS:
        try:
            path = find_table(folder, name)
            sources[name] = TableSource(path.name, path)
            tables[name] = read_table(path)
        except ValidationError as error:
            faults.add(TableSource(str(folder)), str(error))
    clean = clean_log_tables(tables, sources, faults)
    if "fights" in clean:
        latest = (today or datetime.now(UTC).date()) + timedelta(days=1)
        check_plausibility(clean["fights"], clean.get("fighters"), sources, latest, faults)
    faults.raise_if_any()
    log = object.__new__(FightLog)  # the constructor would clean and check the tables again
    log._set_tables(clean)
    return log


def clean_log_tables(
    tables: Mapping[str, pd.DataFrame], sources: Mapping[str, TableSource], faults: FaultCollector
) -> dict[str, pd.DataFrame]:
    """Return the present tables, by name, in canonical form with flags as numbers; add their faults to `faults`.

    References between the tables are checked, plausibility is not.
    """
    clean = {name: clean_table(table, TABLE_COLUMNS[name], sources[name], faults) for name, table in tables.items()}
    if "fights" in clean:
        _check_fights(clean["fights"], sources["fights"], faults)
    if "fighters" in clean:
        check_declared_records(clean["fighters"], clean.get("fights"), sources["fighters"], faults)
    if "fights" in clean and "fighters" in clean:
        _check_fighters(clean["fights"], clean["fighters"], sources, faults)
    if "fights" in clean and "stat_lines" in clean:
        _check_stat_lines(clean["stat_lines"], clean["fights"], sources, faults)
    return clean


def write_fight_log(log: FightLog, folder: Path, suffix: str = ".csv.gz") -> None:
    """Write the three tables into `folder` (made if absent), as `.csv`, `.csv.gz` or `.parquet`."""
    if suffix not in TABLE_SUFFIXES:
        raise ValidationError(f"no file format {suffix!r}: choose one of {list(TABLE_SUFFIXES)}")
    folder.mkdir(parents=True, exist_ok=True)
    for name in TABLE_COLUMNS:
        write_table(getattr(log, name), folder / (name + suffix))


def _check_fights(fights: pd.DataFrame, source: TableSource, faults: FaultCollector) -> None:
    if fights.empty:
        faults.add(source, "there are no rows: a fight log holds at least one fight")
    ids = fights["fight_id"]
    faults.add_cells(source, ids, ids.duplicated() & (ids != ""), "ids must be unique")
    alone = (fights["red_id"] == fights["blue_id"]) & (fights["red_id"] != "")
    faults.add_cells(source, fights["blue_id"], alone, "a fighter cannot fight himself")


def _check_fighters(
    fights: pd.DataFrame, fighters: pd.DataFrame, sources: Mapping[str, TableSource], faults: FaultCollector
) -> None:
    ids = fighters["fighter_id"]
    faults.add_cells(sources["fighters"], ids, ids.duplicated() & (ids != ""), "ids must be unique")
    missing = sorted({*fights["red_id"], *fights["blue_id"]} - {*ids, ""})
    if missing:
        faults.add(
            sources["fights"],
            f"columns 'red_id' and 'blue_id' hold {len(missing)} ids without a row in {sources['fighters'].name}, "
            f"first {missing[:3]}: add those fighters, their biography may be blank",
        )


def _check_stat_lines(
    lines: pd.DataFrame, fights: pd.DataFrame, sources: Mapping[str, TableSource], faults: FaultCollector
) -> None:
    source, fight, fighter = sources["stat_lines"], lines["fight_id"], lines["fighter_id"]
    known = (fight != "") & (fighter != "")
    twice = lines.duplicated(["fight_id", "fighter_id"]) & known
    faults.add_cells(source, fighter, twice, "a fighter has only one line for each fight")
    bouts = fights.drop_duplicates("fight_id").set_index("fight_id").reindex(fight).reset_index(drop=True)
    stray = bouts["red_id"].isna()
    faults.add_cells(source, fight, stray & (fight != ""), f"there is no such fight in {sources['fights'].name}")
    whole = known & ~stray & (bouts["red_id"] != "") & (bouts["blue_id"] != "")
    outside = whole & (fighter != bouts["red_id"]) & (fighter != bouts["blue_id"])
    faults.add_cells(source, fighter, outside, "this fighter is not in that fight")
    alone = lines.groupby("fight_id")["fighter_id"].transform("size") != 2
    faults.add_cells(
        source, fight, alone & whole & ~twice & ~outside, "a fight has a line for both fighters or for none"
    )
    for name in ("takedowns", "significant_strikes"):
        landed, attempted = lines[f"{name}_landed"], lines[f"{name}_attempted"]
        faults.add_cells(source, landed, landed > attempted, f"it cannot exceed {name}_attempted")
    longer = lines["control_seconds"] > bouts["end_time_seconds"]
    faults.add_cells(source, lines["control_seconds"], longer, "control cannot last longer than the fight")


def _is_blank(values: pd.Series, column: Column) -> bool:
    if column.kind == "flag":
        return not values.any()
    return bool((values == "").all() if column.kind in ("text", "moment") else values.isna().all())


def _bytes(values: pd.Series, column: Column) -> bytes:
    if column.kind in ("text", "moment"):
        return json.dumps(values.tolist()).encode()
    if column.kind == "date":
        return values.to_numpy().astype("datetime64[D]").astype("<i8").tobytes()
    # One bit pattern for NaN and one for zero, whatever the source.
    numbers = values.to_numpy(np.float64) + 0.0
    return np.where(np.isnan(numbers), np.nan, numbers).astype("<f8").tobytes()
