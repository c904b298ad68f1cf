"""An archive of outcomes in a store: the files of a manifest, and the outcomes in them by id.

Finding an outcome reads a part of the file of keys, which gives its position, and then one row group: two requests for
each file that may have it. Needs the packages `fsspec` and `pyarrow`, which are imported when they are first used.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from ledger.archive.manifest import (
    CHECKSUM_DIGITS,
    KEY_BYTES,
    KEYS_IN_A_BLOCK,
    MANIFEST,
    VERSIONS,
    ArchivedFile,
    Manifest,
    checksums_of,
    decode_manifest,
    key_of,
)
from ledger.archive.rows import positions, record_of, rows_of
from ledger.contracts.failures import ArchiveUnavailableError, LedgerError
from ledger.remote_folder import FsspecFolder

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_FOOTERS_KEPT = 64
_MANIFESTS_KEPT = 2
_BUFFER_BYTES = 64 * 1024
_COMPARED_AT_ONCE = 8 * 2**20
_KEYS_AROUND = 2_048
"""How many keys are read around the expected place of one: keys are spread evenly, so few are far from theirs."""


class FoundRecord(NamedTuple):
    """An archived record, and the file that has it."""

    job_id: str
    file: str
    record: dict[bytes, bytes]


class OutcomeArchive:
    """The archive of one ledger; every method raises ArchiveUnavailableError. Threads may share it.

    Parameters
    ----------
    open_folder
        Returns the folder of the archive.
    name
        The folder, for messages.
    """

    def __init__(self, open_folder: Callable[[], FsspecFolder], name: str) -> None:
        self._open_folder = open_folder
        self._folder: FsspecFolder | None = None
        self._lock = threading.Lock()
        self._footers: OrderedDict[str, pq.FileMetaData] = OrderedDict()
        self._manifests: OrderedDict[str, Manifest] = OrderedDict()
        self.name = name

    @classmethod
    def at(cls, url: str, folder: str) -> OutcomeArchive:
        """Return the archive in a folder below an fsspec URL or a path."""
        return cls(lambda: FsspecFolder.from_url(f"{url.rstrip('/')}/{folder}"), f"{public_name(url)}/{folder}")

    @property
    def folder(self) -> FsspecFolder:
        """The folder of the archive."""
        with self._lock:
            if self._folder is None:
                self._folder = self._open_folder()
            return self._folder

    def manifest(self, version: str = "") -> Manifest | None:
        """Return a version of the manifest by its name, by default the latest; None if it does not exist."""
        with self._lock:
            if version in self._manifests:
                return self._manifests[version]
        with self.reaching():
            text = self.folder.read(f"{VERSIONS}/{version}" if version else MANIFEST)
            if text is None:
                return None
            found = decode_manifest(text)
        if version:
            self._keep(self._manifests, version, found, _MANIFESTS_KEPT)
        return found

    def find(self, manifest: Manifest, wanted: Mapping[str, str]) -> dict[str, FoundRecord]:
        """Return the newest record of each job that the archive has.

        Parameters
        ----------
        manifest
            The manifest by which to look.
        wanted
            Ids of jobs, each with the name of the file that had it once, '' if unknown.
        """
        found: dict[str, FoundRecord] = {}
        with self.reaching():
            for job_id, place in wanted.items():
                newest = self._newest(manifest, job_id, place)
                if newest is not None:
                    found[job_id] = newest
        return found

    def batches(self, file: ArchivedFile, columns: Sequence[str] | None = None, rows: int = 256) -> Iterator[pa.Table]:
        """Yield the rows of a file in order, some at a time."""
        with self.reaching(), self.folder.open(file.name, whole=True) as opened:
            yield from batches_of(opened, columns, rows)

    def digest(self, file: ArchivedFile) -> str:
        """Return the SHA-256 digest of a file in the store."""
        digest = hashlib.sha256()
        with self.reaching():
            for start in range(0, file.bytes, _COMPARED_AT_ONCE):
                end = min(file.bytes, start + _COMPARED_AT_ONCE)
                digest.update(self.folder.read_range(file.name, start, end))
        return digest.hexdigest()

    def keys(self, file: ArchivedFile) -> bytes:
        """Return the keys of a file, in the order of its rows."""
        with self.reaching():
            keys = self.folder.read(file.keys_name)
        if keys is None:
            raise ArchiveUnavailableError(f"{self.name}/{file.keys_name} is not there")
        self._check_keys(file, keys, 0, file.rows)
        return keys

    def _newest(self, manifest: Manifest, job_id: str, place: str) -> FoundRecord | None:
        """Return the newest record of an id, which may have been used again after its retention.

        The newest is where its tombstone says; or, if files were merged since, in another file of the same month.
        """
        key = key_of(job_id)
        files = list(manifest.may_have(key))
        for prefix in (place, f"{place.partition('/')[0]}/", "") if place else ("",):
            records = [
                FoundRecord(job_id, file.name, record)
                for file in files
                if file.name.startswith(prefix)
                for record in self._records(file, job_id, key)
            ]
            if records:
                return max(records, key=_settled)
        return None

    def _records(self, file: ArchivedFile, job_id: str, key: bytes) -> Iterator[dict[bytes, bytes]]:
        places = self._positions(file, key)
        for group in sorted({place // file.group_rows for place in places}):
            table = self._row_group(file, group)
            for place in places:
                if place // file.group_rows == group:
                    [row] = rows_of(table.slice(place % file.group_rows, 1))
                    if row["job_id"] == job_id:
                        yield record_of(row)

    def _positions(self, file: ArchivedFile, key: bytes) -> list[int]:
        first, last, at = (int.from_bytes(each) for each in (bytes.fromhex(file.first), bytes.fromhex(file.last), key))
        expected = 0 if last == first else (at - first) * (file.rows - 1) // (last - first)
        start = max(0, expected - _KEYS_AROUND) // KEYS_IN_A_BLOCK * KEYS_IN_A_BLOCK
        end = min(file.rows, -(-(expected + _KEYS_AROUND) // KEYS_IN_A_BLOCK) * KEYS_IN_A_BLOCK)
        keys = self.folder.read_range(file.keys_name, start * KEY_BYTES, end * KEY_BYTES)
        self._check_keys(file, keys, start, end)
        inside = keys[:KEY_BYTES] < key or start == 0, keys[-KEY_BYTES:] > key or end == file.rows
        if not all(inside):  # some keys are far from where they are expected
            start, keys = 0, self.keys(file)
        return [start + place for place in positions(keys, key)]

    def _check_keys(self, file: ArchivedFile, keys: bytes, start: int, end: int) -> None:
        """Refuse keys that are not as they were written: by a changed one a job would be called unknown."""
        written, first = file.key_checksums, start // KEYS_IN_A_BLOCK
        found = checksums_of(keys)
        if len(keys) != (end - start) * KEY_BYTES or (
            written and found != written[first * CHECKSUM_DIGITS : first * CHECKSUM_DIGITS + len(found)]
        ):
            raise ArchiveUnavailableError(f"{self.name}/{file.keys_name} is not whole, or has other keys than written")

    def _row_group(self, file: ArchivedFile, group: int) -> pa.Table:
        import pyarrow.parquet as pq

        with self._lock:
            footer = self._footers.get(file.name)
        with (
            self.folder.open(file.name) as opened,
            pq.ParquetFile(opened, metadata=footer, pre_buffer=True, page_checksum_verification=True) as parquet,
        ):
            self._keep(self._footers, file.name, parquet.metadata, _FOOTERS_KEPT)
            return parquet.read_row_group(group, use_threads=False)

    def _keep(self, kept: OrderedDict[str, Any], name: str, value: object, limit: int) -> None:
        with self._lock:
            kept[name] = value
            kept.move_to_end(name)
            while len(kept) > limit:
                kept.popitem(last=False)

    @contextmanager
    def reaching(self) -> Iterator[None]:
        """Convert the errors of file systems, of which some are of classes of their own."""
        try:
            yield
        except LedgerError:
            raise
        except ImportError as error:
            raise ArchiveUnavailableError(
                f"reading archived outcomes needs the package {error.name}: pip install 'cornerman[engine]'"
            ) from error
        except Exception as error:
            raise ArchiveUnavailableError(f"the archive {self.name} cannot be read: {error}") from error


def batches_of(source: Any, columns: Sequence[str] | None, rows: int) -> Iterator[pa.Table]:
    """Yield the rows of an open file, or of one at a path, some at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    # Without a buffer, 20 MB of each file are held.
    with pq.ParquetFile(
        source, buffer_size=_BUFFER_BYTES, pre_buffer=False, page_checksum_verification=True
    ) as parquet:
        for batch in parquet.iter_batches(batch_size=rows, columns=columns, use_threads=False):
            yield pa.Table.from_batches([batch])


def public_name(url: str) -> str:
    """Return a URL without user and password."""
    scheme, separator, rest = url.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}" if separator else url


def _settled(found: FoundRecord) -> int:
    return int(found.record.get(b"settled", b"0"))
