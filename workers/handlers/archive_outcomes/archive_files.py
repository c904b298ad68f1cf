"""Files of the archive: written to a temporary file, read back, uploaded, and compared with what the store has."""

from __future__ import annotations

import hashlib
import secrets
import tempfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ledger.archive.manifest import KEY_BYTES, ArchivedFile, checksums_of
from ledger.archive.outcome_archive import OutcomeArchive
from ledger.archive.rows import REPEATED, SMALL, schema
from ledger.contracts.failures import ArchiveUnavailableError

GROUP_BYTES = 2**20
"""Size of a row group before compression: one is read to find one outcome."""
MAX_GROUP_ROWS = 8_192
MAX_FILE_BYTES = 256 * 2**20
"""Size of a file before compression."""
_COMPARED_AT_ONCE = 8 * 2**20

Part = tuple[pa.Table, bytes]
"""Rows, and their keys."""


def month_of(settled_ms: int) -> str:
    """Return the month of a time, as folders are named."""
    return f"{datetime.fromtimestamp(settled_ms / 1000, UTC):%Y-%m}"


class ArchiveFileWriter:
    """Writer of one file; rows are appended in the order of their keys.

    Parameters
    ----------
    path
        The temporary file.
    raw_bytes, rows
        Size of all rows before compression and their number, so that row groups get their size.
    """

    def __init__(self, path: Path, raw_bytes: int, rows: int) -> None:
        self._path = path
        self._group_rows = max(16, min(MAX_GROUP_ROWS, GROUP_BYTES * rows // max(raw_bytes, 1)))
        self._writer = pq.ParquetWriter(
            str(path),
            schema(),
            compression="zstd",
            use_dictionary=list(REPEATED),
            write_statistics=list(SMALL),
            data_page_size=GROUP_BYTES,
            write_page_checksum=True,  # a changed byte would otherwise be read as another report
        )
        self._waiting: list[pa.Table] = []
        self._keys: list[bytes] = []
        self._rows = self.raw_bytes = 0
        self._times: dict[str, tuple[int, int]] = {}

    def append(self, part: Part) -> None:
        """Add rows."""
        table, keys = part
        self._waiting.append(table)
        self._keys.append(keys)
        self._rows += table.num_rows
        self.raw_bytes += table.nbytes
        for name in ("submitted_at", "settled_at"):
            lowest, highest = (value.as_py() for value in pc.min_max(table[name].cast(pa.int64())).values())
            known = self._times.get(name, (lowest, highest))
            self._times[name] = min(lowest, known[0]), max(highest, known[1])
        while sum(part.num_rows for part in self._waiting) >= self._group_rows:
            self._write_group(self._group_rows)

    def close(self, level: int, run: str) -> tuple[ArchivedFile, bytes]:
        """Finish the file; return its description and its keys."""
        if self._waiting:
            self._write_group(self._group_rows)
        self._writer.close()
        keys = b"".join(self._keys)
        (submitted, settled), name = (
            (self._times[each] for each in ("submitted_at", "settled_at")),
            secrets.token_hex(8),
        )
        return (
            ArchivedFile(
                name=f"month={month_of(settled[0])}/{name}.parquet",
                rows=self._rows,
                bytes=self._path.stat().st_size,
                raw_bytes=self.raw_bytes,
                sha256=_digest(_parts(self._path)),
                group_rows=self._group_rows,
                level=level,
                run=run,
                first=keys[:KEY_BYTES].hex(),
                last=keys[-KEY_BYTES:].hex(),
                submitted_from=submitted[0],
                submitted_to=submitted[1],
                settled_from=settled[0],
                settled_to=settled[1],
                key_checksums=checksums_of(keys),
            ),
            keys,
        )

    def _write_group(self, rows: int) -> None:
        waiting = pa.concat_tables(self._waiting)
        self._writer.write_table(waiting.slice(0, rows).combine_chunks(), row_group_size=rows)
        rest = waiting.slice(rows)
        self._waiting = [rest] if rest.num_rows else []


def write_files(
    archive: OutcomeArchive, parts: Iterable[Part], raw_bytes: int, rows: int, level: int
) -> Iterator[tuple[ArchivedFile, Path]]:
    """Write sorted rows of one month into files of limited size, and upload them.

    Yields each file with its local copy, which exists until the next file is asked for. Raises ArchiveUnavailableError.
    """
    run = secrets.token_hex(4)
    with tempfile.TemporaryDirectory(prefix="cornerman-archive-") as folder:
        path = Path(folder) / "part.parquet"
        writer = None
        for part in parts:
            writer = writer or ArchiveFileWriter(path, raw_bytes, rows)
            writer.append(part)
            if writer.raw_bytes >= MAX_FILE_BYTES:
                yield upload(archive, path, *writer.close(level, run)), path
                writer = None
        if writer is not None:
            yield upload(archive, path, *writer.close(level, run)), path


def upload(archive: OutcomeArchive, path: Path, file: ArchivedFile, keys: bytes) -> ArchivedFile:
    """Upload a file and its keys, and compare them with what the store has. Raises ArchiveUnavailableError."""
    with archive.reaching():
        archive.folder.put(path, file.name)
        archive.folder.write(keys, file.keys_name)
    if archive.digest(file) != file.sha256:
        raise ArchiveUnavailableError(f"{archive.name}/{file.name} cannot be read back as it was written")
    if archive.keys(file) != keys:
        raise ArchiveUnavailableError(f"{archive.name}/{file.keys_name} cannot be read back as it was written")
    return file


def read_back(path: Path) -> Any:
    """Return all rows of a local file."""
    return pq.read_table(path)


def _parts(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while part := file.read(_COMPARED_AT_ONCE):
            yield part


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
