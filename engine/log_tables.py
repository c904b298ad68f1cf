"""The three tables of a fight log: their columns, and how any spelling of them becomes one canonical form.

A table comes as CSV or Parquet, with cells as text or already typed. `clean_table` turns it into fixed dtypes (text:
str, "" where blank; number: float64, NaN where blank; flag: bool; date: datetime64[s] at midnight, NaT where blank)
or says which cell is wrong. Columns that the engine does not know are left out. How tables refer to each other is
checked in `engine.fightlog`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from engine.errors import ValidationError

SUFFIXES = (".csv", ".csv.gz", ".parquet")

WEIGHT_LIMITS_LBS: dict[str, float] = {
    "Women's Strawweight": 115.0,
    "Women's Flyweight": 125.0,
    "Women's Bantamweight": 135.0,
    "Women's Featherweight": 145.0,
    "Strawweight": 115.0,
    "Flyweight": 125.0,
    "Bantamweight": 135.0,
    "Featherweight": 145.0,
    "Lightweight": 155.0,
    "Welterweight": 170.0,
    "Middleweight": 185.0,
    "Light Heavyweight": 205.0,
    "Heavyweight": 265.0,
    "Super Heavyweight": np.nan,
    "Catch Weight": np.nan,
    "Open Weight": np.nan,
    "Other": np.nan,
}
"""Upper limit of every weight class in pounds; NaN where there is none or it is agreed fight by fight."""


@dataclass(frozen=True, slots=True)
class Column:
    """What a column holds: its kind, whether the table must have it, whether cells may be blank, and its range."""

    name: str
    kind: Literal["text", "date", "number", "flag"]
    required: bool = True
    blank: bool = False
    above: float = -np.inf
    least: float = -np.inf
    choices: tuple[str, ...] = ()


FIGHTS = (
    Column("fight_id", "text"),
    Column("date", "date"),
    Column("event", "text"),
    Column("weight_class", "text", choices=tuple(WEIGHT_LIMITS_LBS)),
    Column("women", "flag"),
    Column("title_bout", "flag"),
    Column("scheduled_rounds", "number", blank=True, least=1),
    Column("red_id", "text"),
    Column("blue_id", "text"),
    Column("winner", "text", choices=("red", "blue", "draw", "nc")),
    Column("method", "text"),
    Column("end_time_seconds", "number", above=0),
    Column("corner_reliable", "flag"),
    Column("red_decimal_odds", "number", required=False, blank=True, above=1),
    Column("blue_decimal_odds", "number", required=False, blank=True, above=1),
    Column("red_early_decimal_odds", "number", required=False, blank=True, above=1),
    Column("blue_early_decimal_odds", "number", required=False, blank=True, above=1),
    Column("announced_winner", "text", required=False, blank=True, choices=("red", "blue", "draw", "nc")),
)
"""One row a fight. `end_time_seconds` counts from the first bell; `corner_reliable` is 1 where `red` is the official
red corner and 0 where the source merely lists someone first. `announced_winner` is what was announced on the day, for a
result that was changed later; blank is as `winner`."""

STAT_LINES = (
    Column("fight_id", "text"),
    Column("fighter_id", "text"),
    Column("knockdowns", "number", least=0),
    Column("submission_attempts", "number", least=0),
    Column("takedowns_landed", "number", least=0),
    Column("takedowns_attempted", "number", least=0),
    Column("significant_strikes_landed", "number", least=0),
    Column("significant_strikes_attempted", "number", least=0),
    Column("control_seconds", "number", blank=True, least=0),
)
"""One row a fighter and fight."""

FIGHTERS = (
    Column("fighter_id", "text"),
    Column("name", "text"),
    Column("date_of_birth", "date", blank=True),
    Column("height_cm", "number", blank=True, above=0),
    Column("reach_cm", "number", blank=True, above=0),
    Column("stance", "text", blank=True),
    Column("ambiguous_name", "flag"),
)
"""One row a fighter. `ambiguous_name` is 1 where one id may stand for several people of the same name."""


def find_table(folder: Path, name: str) -> Path:
    """Return the one file of table `name` in `folder`. Raises ValidationError where there is none, or several."""
    found = [folder / (name + suffix) for suffix in SUFFIXES if (folder / (name + suffix)).is_file()]
    if not found:
        raise ValidationError(f"{folder} has no {name} table: put {name}.csv, .csv.gz or .parquet there")
    if len(found) > 1:
        raise ValidationError(f"{folder} has {' and '.join(path.name for path in found)}: leave only one of them")
    return found[0]


def read_table(path: Path) -> pd.DataFrame:
    """Read a CSV with every cell as text, or a Parquet file.

    Raises ValidationError where it cannot be read or has no rows.
    """
    try:
        parquet = path.suffix == ".parquet"
        frame = (
            pd.read_parquet(path) if parquet else pd.read_csv(path, dtype=str, keep_default_na=False, index_col=False)
        )
    except (ValueError, OSError, EOFError) as error:  # pandas' and pyarrow's reading errors are ValueErrors
        raise ValidationError(f"{path.name} cannot be read: {error}; write it again as CSV or Parquet") from error
    if frame.empty:
        raise ValidationError(f"{path.name} has no rows: export it again, with at least one")
    return frame


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write a canonical table in the format that the file's suffix names; `clean_table` reads the same values back."""
    if path.suffix == ".parquet":
        frame.to_parquet(path, index=False)
    else:
        flags = {name: int for name, kind in frame.dtypes.items() if kind == np.bool_}
        frame.astype(flags).to_csv(path, index=False)


def clean_table(frame: pd.DataFrame, columns: Sequence[Column], source: str) -> pd.DataFrame:
    """Return `frame` with exactly `columns`, in canonical dtypes and the frame's order, indexed 0..n-1.

    Optional columns that are missing become blank. Raises ValidationError naming `source`, the column, the first
    wrong row (counted from 1, without the header) and what to write instead.
    """
    missing = [column.name for column in columns if column.required and column.name not in frame.columns]
    if missing:
        raise ValidationError(f"{source} has no column {missing}: it has {[str(name) for name in frame.columns]}")
    frame = frame.reset_index(drop=True)
    blanks = pd.Series([""] * len(frame), dtype=object)
    return pd.DataFrame({column.name: _clean(frame.get(column.name, blanks), column, source) for column in columns})


def refuse(source: str, cells: pd.Series, wrong: pd.Series, remedy: str) -> None:
    """Raise ValidationError about the first of the `wrong` cells, if there is any; `remedy` ends the sentence."""
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        more = f" ({int(wrong.sum())} such rows)" if wrong.sum() > 1 else ""
        raise ValidationError(
            f"{source}: column {cells.name!r} holds {str(cells.iloc[row])!r} in row {row + 1}{more}: {remedy}"
        )


def _clean(cells: pd.Series, column: Column, source: str) -> pd.Series:
    text = cells.astype(object).where(cells.notna(), "").astype(str).str.strip()
    blank = text == ""
    if not column.blank and column.required:
        refuse(source, cells, blank, "fill in the empty cell or leave the row out")
    if column.kind == "text":
        if column.choices:
            refuse(source, cells, ~blank & ~text.isin(column.choices), f"write one of {list(column.choices)}")
        return text
    if column.kind == "date":
        # The first ten characters are the day in a date, a timestamp and an ISO text alike.
        days = pd.to_datetime(text.str.slice(0, 10).where(~blank, None), format="%Y-%m-%d", errors="coerce")
        refuse(source, cells, days.isna() & ~blank, "write dates as YYYY-MM-DD")
        return days.astype("datetime64[s]")
    numeric = pd.api.types.is_numeric_dtype(cells.dtype)
    values = (cells if numeric else pd.to_numeric(text.where(~blank, None), errors="coerce")).astype(np.float64)
    refuse(source, cells, ~values.abs().lt(np.inf) & ~blank, "write a finite number")
    if column.kind == "flag":
        refuse(source, cells, ~values.isin([0.0, 1.0]), "write 0 or 1")
        return values.astype(bool)
    refuse(source, cells, values <= column.above, f"it must be above {column.above:g}")
    refuse(source, cells, values < column.least, f"it must be at least {column.least:g}")
    return values
