"""Reading of tables and conversion of their cells, shared by the readers of fight logs and of feature matrices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from engine.errors import ValidationError

# A day, or a time in any ISO 8601 spelling. The offset does not move the day: an event in Las Vegas is on its local
# day, whatever the day in London.
_OFFSET = r"\s*(?:Z|z|UTC|[+-]\d{2}(?::?\d{2}(?::?\d{2})?)?)"
_TIME = rf"\d{{4}}-\d{{2}}-\d{{2}}(?:[T ]\d{{2}}(?::?\d{{2}}(?::?\d{{2}}(?:[.,]\d+)?)?)?(?:{_OFFSET})?)?"


def read_frame(path: Path, **csv_options: Any) -> pd.DataFrame:
    """Read a Parquet file, or a CSV file with `csv_options`.

    Raises ValidationError naming the file if it cannot be read, whatever its content.
    """
    try:
        frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, **csv_options)
    except MemoryError:
        raise
    except Exception as error:
        reason = str(error).strip().partition("\n")[0][:300]
        raise ValidationError(f"{path.name} cannot be read: {reason}; write it again as CSV or Parquet") from error
    if not frame.columns.is_unique:
        twice = sorted({str(name) for name in frame.columns[frame.columns.duplicated()]})
        raise ValidationError(f"{path.name} has duplicate columns {twice}: leave one of each")
    return frame


def as_text(values: pd.Series) -> pd.Series:
    """Return cells of any type as text without surrounding blanks; "" for missing ones."""
    known = values.notna().tolist()
    cells = [_to_text(cell) if there else "" for cell, there in zip(values.astype(object), known, strict=True)]
    return pd.Series(cells, index=values.index, name=values.name, dtype=str)


def as_numbers(values: pd.Series) -> pd.Series:
    """Return cells of any type as float64; NaN for missing ones and for cells that are not numbers."""
    if is_real(values):
        return pd.Series(values.to_numpy(np.float64, na_value=np.nan), index=values.index, name=values.name)
    return parse_numbers(as_text(values))


def is_real(values: pd.Series) -> bool:
    """Return True for cells that are typed as real numbers or as bool."""
    return pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_complex_dtype(values.dtype)


def parse_numbers(text: pd.Series) -> pd.Series:
    """Return the numbers of a result of `as_text`, float64; NaN for cells that are not numbers."""
    return pd.to_numeric(text.where(text != "", None), errors="coerce").astype(np.float64)


def _to_text(cell: object) -> str:
    text = cell.decode("utf-8", "replace") if isinstance(cell, bytes) else str(cell)
    return text.encode("utf-8", "replace").decode().strip()  # replaces unpaired surrogates


def as_days(values: pd.Series) -> pd.Series:
    """Return the days, datetime64[s] at midnight, of days or times, as text or typed; NaT for other cells.

    The day of a time is the written one, in its own offset from UTC.
    """
    return parse_days(as_text(values))


def parse_days(text: pd.Series) -> pd.Series:
    """Return the days of a result of `as_text`, as `as_days` does."""
    text = text.where(text.str.fullmatch(_TIME), "")
    days = pd.to_datetime(text.str.slice(0, 10).where(text != "", None), format="%Y-%m-%d", errors="coerce")
    return days.astype("datetime64[s]").where(days.dt.year >= 1, np.datetime64("NaT", "s"))
