"""Merging of files: the rows of many in the order of their keys, a few at a time.

The files are copied to a temporary folder, which needs as much disk as they have. Their keys are held, 8 bytes each; of
the rows, some of each run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from ledger.archive.manifest import ArchivedFile
from ledger.archive.outcome_archive import OutcomeArchive, batches_of
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
    runs = _runs(files)
    order = _order(archive, runs)
    written: list[ArchivedFile] = []
    with tempfile.TemporaryDirectory(prefix="cornerman-archive-") as folder:
        with archive.reaching():
            for file in files:
                archive.folder.get(file.name, Path(folder) / file.name)
        compared = _Rows(_merged(Path(folder), runs, order))
        parts = _merged(Path(folder), runs, order)
        for file, path in write_files(archive, parts, raw_bytes, rows, max(file.level for file in files) + 1):
            for table in batches_of(str(path), None, _READ_AT_ONCE):
                if not compared.take(table.num_rows).equals(table):
                    raise ArchiveUnavailableError(f"{file.name} differs from the files that it was made of")
            written.append(file)
            on_progress(sum(each.rows for each in written), rows)
    if sum(file.rows for file in written) != rows:
        raise ArchiveUnavailableError(f"{rows:,} rows of {archive.name} became another number when they were merged")
    pa.default_memory_pool().release_unused()
    return written


class _Rows:
    """The rows of an iterator of tables, taken in numbers of the caller's choice."""

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


def _runs(files: Sequence[ArchivedFile]) -> list[list[ArchivedFile]]:
    """Return files by run, those of each in the order of their keys: they have none in common."""
    runs: dict[str, list[ArchivedFile]] = {}
    for file in sorted(files, key=lambda file: file.first):
        runs.setdefault(file.run, []).append(file)
    return list(runs.values())


class _Order(NamedTuple):
    """All keys in order, big-endian, and the number of the run that each comes from."""

    keys: Any
    sources: Any


def _order(archive: OutcomeArchive, runs: Sequence[Sequence[ArchivedFile]]) -> _Order:
    """Return the order of the rows of all runs; rows of one run stay in their order."""
    keys: list[Any] = []
    sources: list[Any] = []
    for number, files in enumerate(runs):
        for file in files:
            keys.append(np.frombuffer(archive.keys(file), dtype=">u8").astype(np.uint64))
            sources.append(np.full(file.rows, number, dtype=np.uint16))
    together = np.concatenate(keys)
    keys.clear()
    order = np.argsort(together, kind="stable")
    return _Order(together[order].astype(">u8"), np.concatenate(sources)[order])


def _merged(folder: Path, runs: Sequence[Sequence[ArchivedFile]], order: _Order) -> Iterator[Part]:
    """Yield the rows of all runs in the order of their keys."""
    inputs = [_Rows((table, b"") for table in _all_rows(folder, files)) for files in runs]
    for first in range(0, len(order.sources), _ROWS_AT_ONCE):
        chosen = order.sources[first : first + _ROWS_AT_ONCE]
        counts = np.bincount(chosen, minlength=len(runs))
        together = pa.concat_tables(
            [rows.take(int(count)) for rows, count in zip(inputs, counts, strict=True) if count]
        )
        places = np.empty(len(chosen), dtype=np.int64)
        places[np.argsort(chosen, kind="stable")] = np.arange(len(chosen))
        yield together.take(places), order.keys[first : first + _ROWS_AT_ONCE].tobytes()


def _all_rows(folder: Path, files: Sequence[ArchivedFile]) -> Iterator[pa.Table]:
    for file in files:
        yield from batches_of(str(folder / file.name), None, _READ_AT_ONCE)
