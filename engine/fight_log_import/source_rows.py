"""Reading of a source's files row by row, and faults that name the file, line, column and value."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.errors import ValidationError

MAX_FILE_BYTES = 512 * 2**20
MAX_SHOWN_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file; `line` is None for a source without lines."""

    file: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class ImportFault:
    """One wrong value, line or file of a source, and how to correct it.

    Attributes
    ----------
    column
        The source's column; None for a fault of a whole line or file.
    value
        The value as it was read, shortened.
    """

    file: str
    line: int | None
    column: str | None
    value: str
    remedy: str

    def __str__(self) -> str:
        """Return the sentence for a message."""
        place = self.file if self.line is None else f"{self.file} line {self.line}"
        held = "" if self.column is None else f"column {self.column!r} holds {self.value!r}: "
        return f"{place}: {held}{self.remedy}"


def fault_at(place: Place, column: str | None, value: str, remedy: str) -> ImportFault:
    """Return a fault at a place, with its value shortened."""
    return ImportFault(place.file, place.line, column, value[:MAX_SHOWN_CHARACTERS], remedy)


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A row of a CSV file: its cells by column, without surrounding blanks, and its place."""

    cells: dict[str, str]
    place: Place

    def __getitem__(self, column: str) -> str:
        """Return a cell; "" if the file has no such column."""
        return self.cells.get(column, "")


def read_text(path: Path) -> str:
    """Read a text file, also .gz. Raises ValidationError if that is impossible."""
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ValidationError(f"{path.name} cannot be read: {error}; save it again") from error
    if len(content) > MAX_FILE_BYTES:
        raise ValidationError(f"{path.name} has more than {MAX_FILE_BYTES:,} bytes: split it")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValidationError(f"{path.name} is not UTF-8 text in line {line}: save it as CSV in UTF-8") from error


def read_header(path: Path) -> tuple[str, ...]:
    """Return the column names of a CSV file, split at commas or semicolons. Raises ValidationError."""
    text = read_text(path)
    return tuple(_split_header(text, path)[0])


def read_rows(
    path: Path, needed: Collection[str], is_known: Collection[str], faults: list[ImportFault]
) -> list[SourceRow]:
    """Return the rows of a CSV file; add each malformed line and each unknown column to `faults`.

    Parameters
    ----------
    path
        The file; its fields are split at semicolons if the header is.
    needed
        Columns without which no row is read.
    is_known
        All columns that the layout may have, as a container.
    faults
        Collects the faults.

    Raises
    ------
    ValidationError
        If the file cannot be read as text.
    """
    text = read_text(path)
    columns, delimiter = _split_header(text, path)
    header = Place(path.name, 1)
    unknown = "is a column that this layout does not have: leave it out"
    faults += [fault_at(header, name, name, unknown) for name in columns if name not in is_known]
    if twice := sorted({name for name in columns if columns.count(name) > 1}):
        faults.append(fault_at(header, twice[0], twice[0], "is there twice: leave one of the columns"))
        return []
    if missing := sorted(set(needed) - set(columns)):
        faults.append(fault_at(header, missing[0], "", f"there is no column {missing}: it has {columns[:40]}"))
        return []
    return _rows(text, columns, delimiter, path.name, faults)


def _split_header(text: str, path: Path) -> tuple[list[str], str]:
    first = text.partition("\n")[0]
    delimiter = ";" if first.count(";") > first.count(",") else ","
    try:
        names = next(csv.reader(io.StringIO(first), delimiter=delimiter, strict=True), [])
    except csv.Error as error:
        raise ValidationError(f"{path.name} line 1 is not CSV ({error}): write column names there") from error
    return [name.strip() for name in names], delimiter


def _rows(text: str, columns: Sequence[str], delimiter: str, file: str, faults: list[ImportFault]) -> list[SourceRow]:
    rows: list[SourceRow] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    begins = 1
    try:
        for number, fields in enumerate(reader):
            place, begins = Place(file, begins), reader.line_num + 1
            if number == 0 or not fields:
                continue
            if len(fields) != len(columns):
                remedy = f"the line has {len(fields)} fields and the header {len(columns)}: write it again"
                faults.append(fault_at(place, None, delimiter.join(fields), remedy))
                continue
            rows.append(SourceRow({name: cell.strip() for name, cell in zip(columns, fields, strict=True)}, place))
    except csv.Error as error:
        remedy = f"from here on the file is not CSV ({error}): close the quotes, or write the line again"
        faults.append(fault_at(Place(file, begins), None, "", remedy))
    return rows
