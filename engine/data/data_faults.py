"""Faults of a data set's files, collected over all files and raised as one error.

A user who corrects a file needs all of its faults at once, with lines and numbers of rows.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.errors import ValidationError

MAX_SHOWN_FAULTS = 10  # in the message of an error; `DataFaultsError.faults` is complete


@dataclass(frozen=True, slots=True)
class FileFault:
    """One kind of fault in one column of a file.

    Attributes
    ----------
    file
        Name of the file.
    message
        The fault and its remedy.
    column
        Name of the column; None for a fault of the whole file.
    row
        First faulty row, counted from 1 without the header.
    line
        Line of the file on which that row begins.
    rows
        Number of faulty rows.
    """

    file: str
    message: str
    column: str | None = None
    row: int | None = None
    line: int | None = None
    rows: int = 1

    def __str__(self) -> str:
        return f"{self.file}: {self.message}"


class DataFaultsError(ValidationError):
    """The files of a data set have faults.

    Attributes
    ----------
    faults : tuple[FileFault, ...]
        All faults; the message shows the first MAX_SHOWN_FAULTS.
    """

    def __init__(self, faults: Sequence[FileFault]) -> None:
        self.faults = tuple(faults)
        shown = "; ".join(map(str, self.faults[:MAX_SHOWN_FAULTS]))
        more = f"; and {len(self.faults) - MAX_SHOWN_FAULTS} more" if len(self.faults) > MAX_SHOWN_FAULTS else ""
        super().__init__(shown if len(self.faults) == 1 else f"{len(self.faults)} faults: {shown}{more}")


@dataclass(frozen=True, slots=True)
class TableSource:
    """The source of a table.

    Attributes
    ----------
    name
        Name in messages.
    path
        Its file; None for a table that was made in memory.
    """

    name: str
    path: Path | None = None

    def line_number(self, row: int) -> int | None:
        """Return the line on which row `row` (from 0) of a CSV file begins; None for another source."""
        if self.path is None or self.path.suffix == ".parquet":
            return None
        try:
            with (gzip.open if self.path.suffix == ".gz" else open)(
                self.path, "rt", encoding="utf-8", newline=""
            ) as text:
                lines, begins, records = csv.reader(text), 1, -1
                for record in lines:
                    records += bool(record)  # blank lines are not rows
                    if record and records == row + 1:
                        return begins
                    begins = lines.line_num + 1
        except (OSError, ValueError, csv.Error):  # only the line number is lost: the file was read before
            return None
        return None


@dataclass
class FaultCollector:
    """A collector of faults."""

    found: list[FileFault] = field(default_factory=list)

    def add(self, source: TableSource, message: str) -> None:
        """Add a fault of a whole file."""
        self.found.append(FileFault(source.name, message))

    def add_cells(
        self, source: TableSource, cells: pd.Series, wrong: pd.Series | NDArray[np.bool_], remedy: str
    ) -> bool:
        """Add the `wrong` cells of a column as one fault, if there are any; return True if there are.

        Parameters
        ----------
        source
            The table's source.
        cells
            Cells of the column.
        wrong
            True for wrong cells.
        remedy
            How to correct them; it ends the message.
        """
        marked = np.asarray(wrong, dtype=np.bool_)
        if not marked.any():
            return False
        row, rows = int(marked.argmax()), int(marked.sum())
        line = source.line_number(row)
        place = f"row {row + 1}" if line is None else f"line {line}"
        more = f" ({rows} such rows)" if rows > 1 else ""
        shown = str(cells.iloc[row])[:80]
        message = f"column {str(cells.name)!r} holds {shown!r} in {place}{more}: {remedy}"
        self.found.append(FileFault(source.name, message, str(cells.name), row + 1, line, rows))
        return True

    def raise_if_any(self) -> None:
        """Raise DataFaultsError if there is any fault."""
        if self.found:
            raise DataFaultsError(self.found)
