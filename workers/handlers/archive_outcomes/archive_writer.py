"""The writer of an archive: adds files, merges and removes them, each step by a new version of the manifest.

The files are written first; a version that lists them becomes the current one in one step on the server, unless
another archiver was first; and only then records leave the server. A version marks the files whose outcomes may still
be on the server: after a kill, the next archiver finishes these.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from ledger.archive.manifest import MANIFEST, VERSIONS, ArchivedFile, Manifest, ReplacedFile, encode_manifest
from ledger.archive.outcome_archive import OutcomeArchive, public_name
from ledger.archive.records import ARCHIVE
from ledger.archive.rows import record_of, rows_of, table_of, without_claims
from ledger.contracts.failures import ArchiveUnavailableError
from ledger.ledger import Ledger
from workers.handlers.archive_outcomes.archive_files import month_of, read_back, write_files
from workers.handlers.archive_outcomes.due_outcomes import DueOutcome, drop, still_there
from workers.handlers.archive_outcomes.merging import merge, runs_to_merge

READERS_SECONDS = 600.0
"""How long a file stays after it was replaced, for readers of an earlier version."""
ORPHAN_SECONDS = 86_400.0
"""How old a file is that no version lists, and that no archiver may still be about to publish."""
_CHECKED_EVERY = 100


class ArchiveConflictError(Exception):
    """Another archiver has published a version meanwhile: begin with that one."""


class ArchiveWriter:
    """Writer of one ledger's archive. Methods raise ArchiveConflictError and ArchiveUnavailableError.

    Parameters
    ----------
    ledger
        The ledger.
    url
        Where its archive is, or is to be.
    """

    def __init__(self, ledger: Ledger, url: str) -> None:
        self._ledger = ledger
        self._store = public_name(url)
        folder, version, name = ledger.server.execute(
            "HMGET", ledger.server.key(ARCHIVE), "folder", "version", "manifest"
        )
        self._folder = folder.decode() if folder else ledger.references.ledger_id()
        self._known = int(version or 0)
        self.archive = OutcomeArchive.at(url, self._folder)
        self.bytes_written = 0
        self.manifest = self._current(name.decode() if name else "")

    def _current(self, name: str) -> Manifest:
        """Return the newest version: the server may have lost it, and the store may be one behind."""
        stored = self.archive.manifest()
        current = self.archive.manifest(name) if name else None
        if current is not None and (stored is None or stored.version < current.version):
            self._write_latest(current)
            return current
        if stored is None and name:
            raise ArchiveUnavailableError(
                f"{self.archive.name} has no archive, but this ledger has archived outcomes to "
                f"{self._store}: set CORNERMAN_ARCHIVE_URL, or CORNERMAN_STORE, to where they are"
            )
        return stored or Manifest(version=0, ledger=self._folder, written_at=0)

    def publish(self, files: Iterable[ArchivedFile], *, complete: bool = False) -> None:
        """Make a version current that has exactly these files."""
        chosen = tuple(sorted(files, key=lambda file: file.name))
        now_ms = round(self._ledger.server.time() * 1000)
        names = {file.name for file in chosen}
        gone = [ReplacedFile(name=file.name, at=now_ms) for file in self.manifest.files if file.name not in names]
        following = Manifest(
            version=max(self.manifest.version, self._known) + 1,
            ledger=self._folder,
            written_at=now_ms,
            files=chosen,
            replaced=(*(each for each in self.manifest.replaced if now_ms - each.at < ORPHAN_SECONDS * 1000), *gone),
        )
        name = f"{following.version:010}-{secrets.token_hex(4)}.json"
        with self.archive.reaching():
            self.archive.folder.write(encode_manifest(following), f"{VERSIONS}/{name}")
        if self.archive.manifest(name) != following:
            raise ArchiveUnavailableError(
                f"{self.archive.name}/{VERSIONS}/{name} cannot be read back as it was written"
            )
        figures = (following.outcomes, len(following.files), following.size)
        place = (self._known, following.version, name, self._folder, self._store)
        if not self._ledger.server.run_script("archive_publish", *place, *figures, "1" if complete else ""):
            with suppress(Exception):  # it has no meaning
                self.archive.folder.remove_file(f"{VERSIONS}/{name}")
            raise ArchiveConflictError
        self.manifest, self._known = following, following.version
        self._write_latest(following)

    def end(self, *, complete: bool) -> None:
        """Publish that nothing is pending, and with `complete` that all that is due is archived."""
        if any(file.pending for file in self.manifest.files):
            settled = [msgspec.structs.replace(file, pending=False) for file in self.manifest.files]
            self.publish(settled, complete=complete)
        elif complete and self.manifest.version:
            now_ms = round(self._ledger.server.time() * 1000)
            self._ledger.server.execute("HSET", self._ledger.server.key(ARCHIVE), "caught_up", now_ms)

    def _write_latest(self, manifest: Manifest) -> None:
        with self.archive.reaching():
            self.archive.folder.write(encode_manifest(manifest), MANIFEST)

    def add(self, batch: Sequence[DueOutcome]) -> int:
        """Move outcomes to the archive; return how many. Those that change meanwhile stay for the next time."""
        months: dict[str, list[DueOutcome]] = {}
        for due in batch:
            months.setdefault(month_of(due.settled_ms), []).append(due)
        written: dict[ArchivedFile, list[DueOutcome]] = {}
        for dues in months.values():
            written |= dict.fromkeys(self._write([(due.job_id, due.record) for due in dues]), dues)
        before = [msgspec.structs.replace(file, pending=False) for file in self.manifest.files]
        try:
            self.publish([*before, *written])
        except ArchiveConflictError:
            self._discard(written)
            raise
        return len(batch) - self._settle({file: drop(self._ledger, file.name, dues) for file, dues in written.items()})

    def finish(self) -> None:
        """Finish what an archiver has left that was killed: remove from the server what the archive has."""
        pending = [file for file in self.manifest.files if file.pending]
        changed: dict[ArchivedFile, set[str]] = {}
        for file in pending:
            changed[file] = set()
            for table in self.archive.batches(file):
                changed[file] |= self._finish(file, table)
        if pending:
            self._settle(changed)
            self.publish(msgspec.structs.replace(file, pending=False) for file in self.manifest.files)

    def _finish(self, file: ArchivedFile, table: pa.Table) -> set[str]:
        records = {row["job_id"]: record_of(row) for row in rows_of(table)}
        there = {due.job_id: due for due in still_there(self._ledger, records)}
        dues, changed = [], set()
        for job_id, record in records.items():
            due = there.get(job_id)
            same_life = due is not None and all(
                due.record.get(name) == record.get(name) for name in (b"submitted", b"settled")
            )
            if due is not None and same_life and without_claims(due.record) != record:
                changed.add(job_id)
            else:  # also one that has gone, so that its tombstone says where it is
                dues.append(DueOutcome(job_id, due.fingerprint if due and same_life else "", record))
        return changed | drop(self._ledger, file.name, dues)

    def _settle(self, changed: Mapping[ArchivedFile, Iterable[str]]) -> int:
        """Take the rows of changed outcomes out again; return how many there are."""
        total = 0
        files = list(self.manifest.files)
        for file, ids in changed.items():
            if not (stay := set(ids)):
                continue
            total += len(stay)
            table = pa.concat_tables(self.archive.batches(file))
            mask = pc.invert(pc.is_in(table["job_id"], pa.array(sorted(stay), pa.string())))
            kept = [(row["job_id"], record_of(row)) for row in rows_of(table.filter(mask))]
            files.remove(file)
            files += self._write(kept) if kept else []
        if total:
            self.publish(files)
        return total

    def _write(self, records: Sequence[tuple[str, Mapping[bytes, bytes]]]) -> list[ArchivedFile]:
        """Write records of one month, and check that reading gives the same rows, and of some the same records."""
        table, keys = table_of(records)
        some = records[::_CHECKED_EVERY]
        found = table.filter(pc.is_in(table["job_id"], pa.array([job_id for job_id, _ in some], pa.string())))
        if {row["job_id"]: record_of(row) for row in rows_of(found)} != {
            job_id: without_claims(record) for job_id, record in some
        }:
            raise ArchiveUnavailableError("a record cannot be written without a loss")
        written = []
        parts = [(table, keys)]
        at = 0
        for file, path in write_files(self.archive, parts, table.nbytes, table.num_rows, 0):
            if not read_back(path).equals(table.slice(at, file.rows)):
                raise ArchiveUnavailableError(f"{file.name} cannot be read back as it was written")
            at += file.rows
            self.bytes_written += file.bytes
            written.append(msgspec.structs.replace(file, pending=True))
        return written

    def merge(self, on_progress: Callable[[int, int], None]) -> int:
        """Merge the files of one month and level if there are many; return how many were merged."""
        chosen = runs_to_merge(self.manifest.files)
        if chosen is None:
            return 0
        merged = merge(self.archive, chosen, on_progress)
        names = {file.name for file in chosen}
        try:
            self.publish([*(file for file in self.manifest.files if file.name not in names), *merged])
        except ArchiveConflictError:
            self._discard(merged)
            raise
        self.bytes_written += sum(file.bytes for file in merged)
        return len(chosen)

    def expire(self, before_ms: int) -> int:
        """Remove the files whose outcomes were all settled before a time; return how many outcomes they had."""
        gone = [file for file in self.manifest.files if file.settled_to < before_ms and not file.pending]
        if gone:
            names = {file.name for file in gone}
            self.publish(file for file in self.manifest.files if file.name not in names)
        return sum(file.rows for file in gone)

    def clean(self) -> None:
        """Remove files that no reader may need any more, and what killed archivers have left."""
        now_ms = round(self._ledger.server.time() * 1000)
        old = {file.name for file in self.manifest.replaced if now_ms - file.at > READERS_SECONDS * 1000}
        used = {file.name for file in self.manifest.files} | {file.name for file in self.manifest.replaced} - old
        with self.archive.reaching():
            for path in self.archive.folder.files("", 2):
                rows = path.removesuffix(".keys").removesuffix(".parquet") + ".parquet"
                if path.startswith("month=") and rows not in used:
                    self._remove_after(path, 0.0 if rows in old else ORPHAN_SECONDS)
                elif path.startswith(f"{VERSIONS}/"):
                    version = int(path.removeprefix(f"{VERSIONS}/").partition("-")[0])
                    if version < self.manifest.version:
                        self._remove_after(path, READERS_SECONDS)

    def _remove_after(self, path: str, seconds: float) -> None:
        age_seconds = self.archive.folder.age_seconds(path)
        if age_seconds is not None and age_seconds >= seconds:
            self.archive.folder.remove_file(path)

    def _discard(self, files: Iterable[ArchivedFile]) -> None:
        """Remove files that were never published."""
        for file in files:
            with suppress(Exception):  # a later run removes it
                self.archive.folder.remove_file(file.name)
                self.archive.folder.remove_file(file.keys_name)
