"""Merging of files: the rows of many in the order of their keys, a few at a time.

The keys of all files are held, 8 bytes each; of the rows, some of each file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from ledger.archive.manifest import KEY_BYTES, ArchivedFile
from ledger.archive.outcome_archive import OutcomeArchive
from ledger.contracts.failures import ArchiveUnavailableError
from workers.handlers.archive_outcomes.archive_files import Part, write_files

MERGED_RUNS = 16
"""How many runs of one level and month are merged into one of the next level."""
MAX_LEVEL = 2
_ROWS_AT_ONCE, _READ_AT_ONCE = 1_024, 128


def runs_to_merge(files: Sequence[ArchivedFile]) -> list[ArchivedFile] | None:
    """Return the files of the runs that should become one, None if there are too few of every month and level."""
    runs: dict[tuple[str, int], dict[str, list[ArchivedFile]]] = {}
    for file in files:
        if file.level < MAX_LEVEL and not file.pending:
            runs.setdefault((file.month, file.level), {}).setdefault(file.run, []).append(file)
    for _, found in sorted(runs.items(), key=lambda item: (item[0][1], item[0][0])):
        if len(found) >= MERGED_RUNS:
            return [file for run in list(found.values())[:MERGED_RUNS] for file in run]
    return None


def merge(
    archive: OutcomeArchive, files: Sequence[ArchivedFile], on_progress: Callable[[int, int], None]
) -> list[ArchivedFile]:
    """Write the rows of files into new ones, and compare these with what they were made of.

    Raises ArchiveUnavailableError.
    """
    rows, raw_bytes = sum(file.rows for file in files), sum(file.raw_bytes for file in files)
    keys = [archive.keys(file) for file in files]
    compared = _Rows(_merged(archive, files, keys))
    written: list[ArchivedFile] = []
    parts = _merged(archive, files, keys)
    for file, _ in write_files(archive, parts, raw_bytes, rows, max(file.level for file in files) + 1):
        for table in archive.batches(file, rows=_READ_AT_ONCE):
            if not compared.take(table.num_rows).equals(table):
                raise ArchiveUnavailableError(f"{archive.name}/{file.name} differs from the files that it was made of")
        written.append(file)
        on_progress(sum(each.rows for each in written), rows)
    if sum(file.rows for file in written) != rows:
        raise ArchiveUnavailableError(f"{rows:,} rows of {archive.name} became another number when they were merged")
    return written


class _Rows:
    """The rows of an iterator of parts, taken in numbers of the caller's choice."""

    def __init__(self, parts: Iterator[Part]) -> None:
        self._parts = parts
        self._waiting: list[pa.Table] = []

    def take(self, count: int) -> pa.Table:
        """Return the next rows."""
        while sum(table.num_rows for table in self._waiting) < count:
            self._waiting.append(next(self._parts)[0])
        waiting = pa.concat_tables(self._waiting)
        rest = waiting.slice(count)
        self._waiting = [rest] if rest.num_rows else []
        return waiting.slice(0, count)


def _merged(archive: OutcomeArchive, files: Sequence[ArchivedFile], keys: Sequence[bytes]) -> Iterator[Part]:
    """Yield the rows of sorted files in the order of their keys."""
    numbers = [np.frombuffer(each, dtype=">u8") for each in keys]
    everything: Any = np.concatenate(numbers).astype(np.uint64)
    source = np.repeat(np.arange(len(files), dtype=np.int32), [len(each) for each in numbers])
    order = np.argsort(everything, kind="stable")  # stable: rows of one file stay in their order
    everything, source = everything[order].astype(">u8"), source[order]
    del order
    inputs = [_Rows((table, b"") for table in archive.batches(file, rows=_READ_AT_ONCE)) for file in files]
    for first in range(0, len(source), _ROWS_AT_ONCE):
        chosen = source[first : first + _ROWS_AT_ONCE]
        counts = np.bincount(chosen, minlength=len(files))
        together = pa.concat_tables(
            [rows.take(int(count)) for rows, count in zip(inputs, counts, strict=True) if count]
        )
        places = np.empty(len(chosen), dtype=np.int64)
        places[np.argsort(chosen, kind="stable")] = np.arange(len(chosen))
        yield together.take(places), everything[first : first + _ROWS_AT_ONCE].tobytes()


def keys_in_order(keys: bytes) -> bool:
    """Return True if keys are sorted."""
    numbers = np.frombuffer(keys, dtype=">u8").astype(np.uint64)
    return len(keys) % KEY_BYTES == 0 and bool(np.all(numbers[1:] >= numbers[:-1]))
