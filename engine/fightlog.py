"""The fight log: what is known of past fights, the only source that features and training read.

A `FightLog` that exists is valid: its tables (see `engine.log_tables`) are canonical, sorted and refer to each
other. Nothing here looks at the meaning of a column; that is the work of `engine.fighter_state`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import InitVar, dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from engine.errors import ValidationError
from engine.log_tables import (
    FIGHTERS,
    FIGHTS,
    STAT_LINES,
    SUFFIXES,
    Column,
    clean_table,
    find_table,
    read_table,
    refuse,
    write_table,
)

TABLES: dict[str, tuple[Column, ...]] = {"fights": FIGHTS, "stat_lines": STAT_LINES, "fighters": FIGHTERS}
_SORTED_BY = {
    "fights": ["date", "fight_id"],
    "stat_lines": ["fight_id", "fighter_id"],
    "fighters": ["fighter_id"],
}


@dataclass(frozen=True, eq=False)
class FightLog:
    """Fights in order of date and id, stat lines by fight and fighter, fighters by id.

    fights, stat_lines, fighters: DataFrames with the columns of `engine.log_tables`, in any order of rows and with
    cells as text or typed; they are copied. sources: how messages call the three tables.

    Raises ValidationError, naming table, column, row and remedy, for any cell or reference that cannot be right.
    """

    fights: pd.DataFrame
    stat_lines: pd.DataFrame
    fighters: pd.DataFrame
    sources: InitVar[tuple[str, str, str]] = ("fights", "stat_lines", "fighters")

    def __post_init__(self, sources: tuple[str, str, str]) -> None:
        """Bring the tables into canonical form, or say what is wrong."""
        clean = {
            name: clean_table(getattr(self, name), columns, source)
            for (name, columns), source in zip(TABLES.items(), sources, strict=True)
        }
        _check_fights(clean["fights"], clean["fighters"], sources)
        _check_stat_lines(clean["stat_lines"], clean["fights"], sources)
        for name, frame in clean.items():
            object.__setattr__(self, name, frame.sort_values(_SORTED_BY[name], ignore_index=True))

    @property
    def announced(self) -> pd.Series:
        """Who was announced as the winner on the day, (n,): red, blue, draw or nc.

        Bets are settled by it, and until a result is overturned, months later, it is what everybody knows. So it is
        learnt from and scored; the final result would look ahead.
        """
        said = self.fights["announced_winner"]
        return said.where(said != "", self.fights["winner"])

    @property
    def data_cutoff(self) -> date:
        """The day of the last fight."""
        day: date = self.fights["date"].iloc[-1].date()
        return day

    def before(self, cutoff: date) -> FightLog:
        """Return what the log held before `cutoff`: fights strictly earlier, and their stat lines.

        Biographies stay: they do not depend on results. Raises ValidationError where no fight is left.
        """
        fights = self.fights[self.fights["date"] < pd.Timestamp(cutoff)]
        if fights.empty:
            first = self.fights["date"].iloc[0].date()
            raise ValidationError(f"no fight before {cutoff}: the log starts on {first}, choose a later cutoff")
        lines = self.stat_lines[self.stat_lines["fight_id"].isin(fights["fight_id"])]
        return FightLog(fights, lines, self.fighters)

    def digest(self) -> str:
        """Return the SHA-256 of the content: the same for any file format and order of rows or columns."""
        content = hashlib.sha256()
        for table, columns in TABLES.items():
            frame = getattr(self, table)
            for column in columns:
                if column.name == "announced_winner" and (frame[column.name] == "").all():
                    continue  # logs without it keep the digest that they had before there was such a column
                content.update(f"{table}.{column.name}[{len(frame)}]".encode())
                content.update(_bytes(frame[column.name], column))
        return content.hexdigest()


def read_fight_log(folder: Path) -> FightLog:
    """Read `fights`, `stat_lines` and `fighters` (.csv, .csv.gz or .parquet) from `folder`.

    Raises ValidationError naming the file, the column and the row for anything that cannot be right, and where the
    decisive fights have winners on one side only, from which nothing can be learnt.
    """
    if not folder.is_dir():
        raise ValidationError(f"{folder} is not a folder: name one with fights, stat_lines and fighters tables")
    paths = [find_table(folder, name) for name in TABLES]
    fights, stat_lines, fighters = (read_table(path) for path in paths)
    log = FightLog(fights, stat_lines, fighters, (paths[0].name, paths[1].name, paths[2].name))
    seen = sorted(set(log.fights["winner"]))
    if not {"red", "blue"} <= set(seen):
        raise ValidationError(
            f"{paths[0].name}: column 'winner' holds only {seen}: wins of both 'red' and 'blue' are needed"
        )
    return log


def write_fight_log(log: FightLog, folder: Path, suffix: str = ".csv.gz") -> None:
    """Write the three tables into `folder` (made if absent), as `.csv`, `.csv.gz` or `.parquet`."""
    if suffix not in SUFFIXES:
        raise ValidationError(f"no file format {suffix!r}: choose one of {list(SUFFIXES)}")
    folder.mkdir(parents=True, exist_ok=True)
    for name in TABLES:
        write_table(getattr(log, name), folder / (name + suffix))


def _check_fights(fights: pd.DataFrame, fighters: pd.DataFrame, sources: tuple[str, str, str]) -> None:
    source = sources[0]
    if fights.empty:
        raise ValidationError(f"{source} has no rows: a fight log holds at least one fight")
    refuse(sources[2], fighters["fighter_id"], fighters["fighter_id"].duplicated(), "every id may stand once")
    refuse(source, fights["fight_id"], fights["fight_id"].duplicated(), "every id may stand once")
    refuse(source, fights["blue_id"], fights["red_id"] == fights["blue_id"], "nobody fights himself")
    known = set(fighters["fighter_id"])
    strangers = sorted({*fights["red_id"], *fights["blue_id"]} - known)
    if strangers:
        raise ValidationError(
            f"{source}: columns 'red_id' and 'blue_id' hold {len(strangers)} ids without a row in {sources[2]}, "
            f"first {strangers[:3]}: add those fighters, their biography may be blank"
        )


def _check_stat_lines(lines: pd.DataFrame, fights: pd.DataFrame, sources: tuple[str, str, str]) -> None:
    source = sources[1]
    refuse(source, lines["fighter_id"], lines.duplicated(["fight_id", "fighter_id"]), "one line a fighter and fight")
    # Ids of fights are unique by now, so `reindex` finds one fight a line, or none.
    bouts = fights.set_index("fight_id").reindex(lines["fight_id"]).reset_index(drop=True)
    refuse(source, lines["fight_id"], bouts["red_id"].isna(), f"there is no such fight in {sources[0]}")
    outside = (lines["fighter_id"] != bouts["red_id"]) & (lines["fighter_id"] != bouts["blue_id"])
    refuse(source, lines["fighter_id"], outside, "this fighter is not in that fight")
    alone = lines.groupby("fight_id")["fighter_id"].transform("size") != 2
    refuse(source, lines["fight_id"], alone, "a fight has a line for both fighters or for none")
    for name in ("takedowns", "significant_strikes"):
        landed, attempted = lines[f"{name}_landed"], lines[f"{name}_attempted"]
        refuse(source, landed, landed > attempted, f"it cannot exceed {name}_attempted")
    longer = lines["control_seconds"] > bouts["end_time_seconds"]
    refuse(source, lines["control_seconds"], longer, "control cannot last longer than the fight")


def _bytes(values: pd.Series, column: Column) -> bytes:
    if column.kind == "text":
        return json.dumps(values.tolist()).encode()
    if column.kind == "date":
        return values.to_numpy().astype("datetime64[D]").astype("<i8").tobytes()
    # One bit pattern for NaN and one for zero, whatever wrote them.
    numbers = values.to_numpy(np.float64) + 0.0
    return np.where(np.isnan(numbers), np.nan, numbers).astype("<f8").tobytes()
