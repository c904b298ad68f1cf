"""The three tables of a fight log: their columns, and the conversion of their cells to one canonical form.

A table is CSV or Parquet, with cells as text or already typed. `clean_table` converts it to fixed dtypes (text: str, ""
if blank; number: float64, NaN if blank; flag: bool; date: datetime64[s] at midnight, NaT if blank; moment: text in UTC,
as `2026-11-21T23:05:00Z`, "" if blank) or reports the wrong cells. Unknown columns are dropped. References between
tables are checked in `engine.data.fight_log`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.data.data_faults import FaultCollector, TableSource
from engine.data.finish_methods import METHODS, canonical_method
from engine.data.frames import as_numbers, as_text, is_real, parse_days, parse_numbers, read_frame
from engine.errors import ValidationError

TABLE_SUFFIXES = (".csv", ".csv.gz", ".parquet")

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
"""Upper limit of every weight class in pounds; NaN if there is none or it is agreed for each fight."""


@dataclass(frozen=True, slots=True)
class Column:
    """The name, kind and range of a column.

    Attributes
    ----------
    kind
        Kind of the cells. `count`: a whole number. `price`: decimal odds. `moment`: a time with its offset from UTC.
    required
        True if the table must have the column.
    blank
        True if cells may be blank.
    exclusive_min, min_value, max_value
        Range of numbers.
    unit
        Unit of numbers, for messages.
    choices
        Allowed texts; case and punctuation of a cell are ignored.
    """

    name: str
    kind: Literal["text", "date", "moment", "number", "flag", "count", "price"]
    required: bool = True
    blank: bool = False
    exclusive_min: float = -np.inf
    min_value: float = -np.inf
    max_value: float = np.inf
    unit: str = ""
    choices: tuple[str, ...] = ()


FIGHTS_TABLE = (
    Column("fight_id", "text"),
    Column("date", "date"),
    Column("event", "text"),
    Column("weight_class", "text", choices=tuple(WEIGHT_LIMITS_LBS)),
    Column("women", "flag"),
    Column("title_bout", "flag"),
    Column("scheduled_rounds", "count", blank=True, min_value=1, max_value=20),
    Column("red_id", "text"),
    Column("blue_id", "text"),
    Column("winner", "text", choices=("red", "blue", "draw", "nc")),
    Column("method", "text", choices=METHODS),
    Column("end_time_seconds", "number", exclusive_min=0, max_value=10_800, unit="seconds"),
    Column("corner_reliable", "flag"),
    Column("red_decimal_odds", "price", required=False, blank=True),
    Column("blue_decimal_odds", "price", required=False, blank=True),
    Column("red_early_decimal_odds", "price", required=False, blank=True),
    Column("blue_early_decimal_odds", "price", required=False, blank=True),
    Column("announced_winner", "text", required=False, blank=True, choices=("red", "blue", "draw", "nc")),
    Column("history_only", "flag", required=False, blank=True),
    Column("known_at", "moment", required=False, blank=True),
)
"""Columns of the fights table, one row for each fight.

`end_time_seconds` counts from the first bell. `corner_reliable` is 1 if `red` is the official red corner and 0 if the
source only lists this fighter first. `announced_winner` is the winner announced on the day, for results that were
changed later; blank means `winner`. `history_only` is 1 for bouts, such as those of other promotions, that move the
states and ratings of fighters but that no model learns from and none is scored on; blank means 0. `known_at` is when
the log first had the fight; blank means the day after it.
"""

STAT_LINES_TABLE = (
    Column("fight_id", "text"),
    Column("fighter_id", "text"),
    Column("knockdowns", "count", min_value=0),
    Column("submission_attempts", "count", min_value=0),
    Column("takedowns_landed", "count", min_value=0),
    Column("takedowns_attempted", "count", min_value=0),
    Column("significant_strikes_landed", "count", min_value=0),
    Column("significant_strikes_attempted", "count", min_value=0),
    Column("control_seconds", "number", blank=True, min_value=0),
)
"""Columns of the statistics table, one row for each fighter of a fight."""

MAX_DECLARED_BOUTS = 200
DECLARED_COUNTS = (
    "declared_wins",
    "declared_losses",
    "declared_draws",
    "declared_knock_out_wins",
    "declared_submission_wins",
    "declared_knock_out_losses",
    "declared_submission_losses",
)
FIGHTERS_TABLE = (
    Column("fighter_id", "text"),
    Column("name", "text"),
    Column("date_of_birth", "date", blank=True),
    Column("height_cm", "number", blank=True, min_value=120, max_value=240, unit="centimetres"),
    Column("reach_cm", "number", blank=True, min_value=120, max_value=240, unit="centimetres"),
    Column("stance", "text", blank=True),
    Column("ambiguous_name", "flag"),
    *(
        Column(name, "count", required=False, blank=True, min_value=0, max_value=MAX_DECLARED_BOUTS)
        for name in DECLARED_COUNTS
    ),
    Column("declared_last_bout", "date", required=False, blank=True),
)
"""Columns of the fighters table, one row for each fighter.

`ambiguous_name` is 1 if one id may stand for several people of the same name. The columns `declared_...` are the record
before the fighter's first fight of the log; wins and losses by method are parts of all wins and losses.
"""


def find_table(folder: Path, name: str) -> Path:
    """Return the one file of table `name` in `folder`. Raises ValidationError if there is none, or several."""
    found = [folder / (name + suffix) for suffix in TABLE_SUFFIXES if (folder / (name + suffix)).is_file()]
    if not found:
        raise ValidationError(f"{folder} has no {name} table: put {name}.csv, .csv.gz or .parquet there")
    if len(found) > 1:
        raise ValidationError(f"{folder} has {' and '.join(path.name for path in found)}: leave only one of them")
    return found[0]


def read_table(path: Path) -> pd.DataFrame:
    """Read a CSV file with every cell as text, or a Parquet file.

    Raises ValidationError if the file cannot be read or has no rows.
    """
    frame = read_frame(path, dtype=str, keep_default_na=False, index_col=False)
    if frame.empty:
        raise ValidationError(f"{path.name} has no rows: export it again, with at least one")
    return frame


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write a canonical table in the format of the file's suffix; `clean_table` reads the same values back."""
    if path.suffix == ".parquet":
        frame.to_parquet(path, index=False, schema=_parquet_schema(frame))
    else:
        flags = {name: int for name, kind in frame.dtypes.items() if kind == np.bool_}
        frame.astype(flags).to_csv(path, index=False)


def _parquet_schema(frame: pd.DataFrame) -> Any:
    """Return the schema that pandas writes if it was imported with pyarrow: its text is of the type large_string."""
    import pyarrow as pa  # only needed for such a file

    schema = pa.Schema.from_pandas(frame, preserve_index=False)
    is_text = [isinstance(dtype, pd.StringDtype) for dtype in frame.dtypes]
    return pa.schema(
        [field.with_type(pa.large_string()) if text else field for field, text in zip(schema, is_text, strict=True)]
    )


def clean_table(
    frame: pd.DataFrame, columns: Sequence[Column], source: TableSource, faults: FaultCollector
) -> pd.DataFrame:
    """Return `frame` in canonical form, and add its faults to `faults`.

    The result has exactly `columns`, in the frame's order of rows, indexed 0..n-1. Flags are float64 until
    `with_boolean_flags`, and faulty cells and missing columns are blank, so that further checks can continue.

    Parameters
    ----------
    frame
        The table as read.
    columns
        Columns of the result.
    source
        The table's source, for messages.
    faults
        Collects the faults.
    """
    missing = [column.name for column in columns if column.required and column.name not in frame.columns]
    if missing:
        faults.add(source, f"there is no column {missing}: it has {[str(name) for name in frame.columns][:40]}")
    frame = frame.reset_index(drop=True)
    cleaned = {}
    for column in columns:
        cells = frame.get(column.name)
        cleaned[column.name] = _blanks(column, len(frame)) if cells is None else _clean(cells, column, source, faults)
    return pd.DataFrame(cleaned)


def with_boolean_flags(frame: pd.DataFrame, columns: Sequence[Column]) -> pd.DataFrame:
    """Return a table of `clean_table`, which has no faults, with bool flags; a blank one is False."""
    flags = [column.name for column in columns if column.kind == "flag"]
    return frame.assign(**{name: frame[name].fillna(0.0).astype(bool) for name in flags})


def _blanks(column: Column, rows: int) -> pd.Series:
    """Return a canonical column without values."""
    if column.kind == "date":
        return pd.Series(np.full(rows, np.datetime64("NaT", "s")))
    if column.kind in ("text", "moment"):
        return pd.Series([""] * rows, dtype=object if column.choices or column.kind == "moment" else str)
    return pd.Series(np.full(rows, np.nan))


def _clean(cells: pd.Series, column: Column, source: TableSource, faults: FaultCollector) -> pd.Series:
    # Numbers that are typed need not become text first.
    typed = column.kind not in ("text", "moment", "date") and is_real(cells)
    text = cells if typed else as_text(cells)
    blank = cells.isna() if typed else text == ""
    if column.required and not column.blank:
        faults.add_cells(source, cells, blank, "fill in the empty cell or leave the row out")
    if column.kind == "text":
        return _match_choices(cells, text, column, source, faults) if column.choices else text
    if column.kind == "moment":
        moments = text.map(canonical_moment)
        faults.add_cells(source, cells, moments.isna(), "write times with their offset, as 2026-11-21T23:05:00Z")
        return moments.fillna("").astype(object)
    if column.kind == "date":
        days = parse_days(text)
        faults.add_cells(source, cells, days.isna() & ~blank, "write dates as YYYY-MM-DD")
        return days
    values = (as_numbers(cells) if typed else parse_numbers(text)).to_numpy()
    wrong = ~(np.abs(values) < np.inf) & ~blank.to_numpy(np.bool_)
    faults.add_cells(source, cells, wrong, "write a finite number")
    for odd, remedy in _limits(np.where(wrong, np.nan, values), column):
        faults.add_cells(source, cells, odd, remedy)
        wrong |= odd
    return pd.Series(np.where(wrong, np.nan, values))


def canonical_moment(text: str) -> str | None:
    """Return a time in UTC to the second, "" for "", or None for text without a time or without its offset."""
    if not text:
        return ""
    try:
        moment = datetime.fromisoformat(text)
        return None if moment.tzinfo is None else f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (ValueError, OverflowError):
        return None


def _match_choices(
    cells: pd.Series, text: pd.Series, column: Column, source: TableSource, faults: FaultCollector
) -> pd.Series:
    """Return the choice that each cell means, "" for none."""
    choices = {_letters(choice): choice for choice in column.choices}
    if "nc" in choices:
        choices["nocontest"] = "nc"
    methods = column.choices == METHODS
    meant = {cell: canonical_method(cell) if methods else choices.get(_letters(cell)) for cell in text.unique()}
    found = text.map(meant)
    faults.add_cells(source, cells, found.isna() & (text != ""), f"write one of {list(column.choices)}")
    return found.astype(object).where(found.notna(), "")


def _letters(text: str) -> str:
    return "".join(letter for letter in text.casefold() if letter.isalnum())


def _limits(values: NDArray[np.float64], column: Column) -> list[tuple[NDArray[np.bool_], str]]:
    """Return which finite values are out of range, bool (n,), and how to correct them."""
    known = ~np.isnan(values)
    if column.kind == "flag":
        return [(known & ~np.isin(values, [0.0, 1.0]), "write 0 or 1")]
    if column.kind == "price":
        odd, remedy = find_wrong_prices(pd.Series(values))
        return [(odd.to_numpy(), remedy)]
    whole = [(known & (np.floor(values) != values), "write a whole number")] if column.kind == "count" else []
    return [
        (values <= column.exclusive_min, f"it must be above {column.exclusive_min:g}"),
        (values < column.min_value, f"it must be at least {column.min_value:g} {column.unit}".rstrip()),
        (values > column.max_value, f"it must be at most {column.max_value:g} {column.unit}".rstrip()),
        *whole,
    ]


MAX_DECIMAL_PRICE = 1000.0


def find_wrong_prices(values: pd.Series) -> tuple[pd.Series, str]:
    """Return which of the prices, float64 (n,), are not decimal odds, and how to correct them."""
    large = values.abs() >= 100.0
    american = bool((values <= -100.0).any() or (values.notna().any() and large[values.notna()].all()))
    wrong = (values <= 1.0) | (values > MAX_DECIMAL_PRICE) | (large & american)
    if american:
        return wrong, "these look American: write +150 as 2.50 and -200 as 1.50"
    if wrong.sum() > 1 and values[wrong].between(0.0, 1.0, inclusive="neither").all():
        return wrong, "these look like probabilities: write what a stake of 1 pays back, as 2.50 for 0.4"
    return wrong, f"decimal odds are above 1 and up to {MAX_DECIMAL_PRICE:g}"
