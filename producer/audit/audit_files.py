"""Audit files on disk: JSON lines, or Parquet with the same lines; read and written a part at a time.

In Parquet a line is a row of six columns: `number`, `at`, `kind`, `content` (JSON), `previous` and `hash`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol

from msgspec import Raw

from ledger.contracts.codec import job_refused
from producer.audit.audit_lines import Line, canonical, check_hash, decode_line, encode_line
from producer.errors import NotInstalledError

Format = Literal["jsonl", "parquet"]
MAX_LINE_BYTES = 64 * 1024 * 1024
_GROUP_ROWS = 2_000  # of a row group of Parquet
_GROUP_BYTES = 4 * 1024 * 1024
_READ_ROWS = 50
_PARQUET_BEGINS = b"PAR1"


class UnreadableLineError(ValueError):
    """A line that is not as it was written. `torn`: it is the last one, and its end is missing."""

    def __init__(self, place: int, reason: str, *, torn: bool = False) -> None:
        super().__init__(reason)
        self.place = place
        self.torn = torn


class LineWriter(Protocol):
    """What an export writes its lines to."""

    def write(self, line: Line) -> None:
        """Write a line."""


@contextmanager
def new_file(path: Path, kind: Format) -> Iterator[LineWriter]:
    """Write a file that appears, whole and on disk, when the block ends without an error; it replaces an older one.

    Raises JobRefusedError if it cannot be written, NotInstalledError if pyarrow is not installed.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            with unfinished.open("wb") as file:
                if kind == "parquet":
                    with _parquet_writer(file) as rows:
                        yield rows
                else:
                    yield _JsonLines(file)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise job_refused(f"{path} cannot be written: {error.strerror or error}") from error


def read_lines(path: Path) -> Iterator[Line]:
    """Yield the lines of a file of either format, each with the hash of its own content.

    Raises UnreadableLineError at the first line that is not as it was written, JobRefusedError if there is no such
    file, NotInstalledError if it is Parquet and pyarrow is not installed.
    """
    try:
        with path.open("rb") as file:
            is_parquet = file.read(len(_PARQUET_BEGINS)) == _PARQUET_BEGINS
            file.seek(0)
            yield from _read_parquet(file) if is_parquet else _read_json_lines(file)
    except OSError as error:
        raise job_refused(f"{path} cannot be read: {error.strerror or error}") from error


class _JsonLines:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, line: Line) -> None:
        self._file.write(encode_line(line) + b"\n")


def _read_json_lines(file: BinaryIO) -> Iterator[Line]:
    place = 0
    while text := file.readline(MAX_LINE_BYTES):
        place += 1
        if not text.endswith(b"\n"):
            if len(text) == MAX_LINE_BYTES:
                raise UnreadableLineError(place, f"it is longer than {MAX_LINE_BYTES:,} bytes")
            raise UnreadableLineError(place, "its end is missing", torn=True)
        try:
            yield decode_line(text[:-1])
        except ValueError as error:
            raise UnreadableLineError(place, str(error)) from error


class _ParquetRows:
    def __init__(self, writer: Any, arrow: Any, schema: Any) -> None:
        self._writer, self._arrow, self._schema = writer, arrow, schema
        self._rows: list[dict[str, Any]] = []
        self._bytes = 0

    def write(self, line: Line) -> None:
        content = bytes(line.content).decode()
        self._rows.append(
            {
                "number": line.number,
                "at": line.at,
                "kind": line.kind,
                "content": content,
                "previous": line.previous,
                "hash": line.hash,
            }
        )
        self._bytes += len(content)
        if len(self._rows) == _GROUP_ROWS or self._bytes > _GROUP_BYTES:
            self.flush()

    def flush(self) -> None:
        if self._rows:
            self._writer.write_batch(self._arrow.RecordBatch.from_pylist(self._rows, schema=self._schema))
            self._rows, self._bytes = [], 0


@contextmanager
def _parquet_writer(file: BinaryIO) -> Iterator[_ParquetRows]:
    arrow, parquet = _pyarrow()
    schema = _schema(arrow)
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        rows = _ParquetRows(writer, arrow, schema)
        yield rows
        rows.flush()


def _read_parquet(file: BinaryIO) -> Iterator[Line]:
    arrow, parquet = _pyarrow()
    place = 0
    try:
        opened = parquet.ParquetFile(file)
        if not opened.schema_arrow.equals(_schema(arrow)):
            raise UnreadableLineError(1, f"the columns are not those of an audit file: {opened.schema_arrow.names}")
        for batch in opened.iter_batches(batch_size=_READ_ROWS):
            for row in batch.to_pylist():
                place += 1
                yield _line_of(row, place)
    except (arrow.ArrowException, OSError) as error:
        raise UnreadableLineError(place + 1, f"Parquet cannot be read: {error}") from error


def _line_of(row: dict[str, Any], place: int) -> Line:
    if None in row.values():
        raise UnreadableLineError(place, "it lacks a value")
    content = row.pop("content").encode()
    line = Line(content=Raw(content), **row)
    try:
        if canonical(content) != content:
            raise ValueError("its text is not as it was written")
        check_hash(line)
    except (ValueError, RecursionError) as error:
        raise UnreadableLineError(place, str(error)) from error
    return line


def _schema(arrow: Any) -> Any:
    text = arrow.string()
    at = arrow.timestamp("us", tz="UTC")
    return arrow.schema(
        [("number", arrow.int64()), ("at", at), ("kind", text), ("content", text), ("previous", text), ("hash", text)]
    )


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise NotInstalledError("pyarrow is not installed; get it with: pip install 'cornerman[engine]'") from None
    return pyarrow, pyarrow.parquet
