"""The archive of a ledger as operators see it: what it has, where a job is, lists of jobs, and whether it is whole."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from ledger.archive.manifest import KEY_BYTES, ArchivedFile, Manifest, key_of
from ledger.archive.outcome_archive import OutcomeArchive
from ledger.archive.records import ARCHIVE, archive_of, archived_records
from ledger.contracts.codec import job_refused
from ledger.contracts.failures import ArchiveUnavailableError
from ledger.server.server import Server, to_datetime

if TYPE_CHECKING:
    import pyarrow as pa

MAX_LISTED = 10_000
_LISTED_COLUMNS = (
    "job_id",
    "kind",
    "state",
    "caller",
    "card_id",
    "correlation_id",
    "attempt",
    "submitted_at",
    "settled_at",
)


class ArchiveState(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the ledger knows of its archive.

    Attributes
    ----------
    location
        Store and folder, without user and password.
    version, manifest
        The current version of the manifest, and its file.
    outcomes, files, bytes
        What the archive has.
    written_at
        When the current version was written.
    caught_up_at
        When all that was due had been archived; absent before the first time.
    """

    location: str
    version: int
    manifest: str
    outcomes: int
    files: int
    bytes: int
    written_at: datetime
    caught_up_at: datetime | None = None


class ArchivedJob(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An archived job in a list, and the file that has it. Times are the server's."""

    job_id: str
    kind: str
    state: str
    attempt: int
    submitted_at: datetime
    settled_at: datetime
    file: str
    caller: str | None = None
    card_id: str | None = None
    correlation_id: str | None = None


class ArchiveQuery(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The archived jobs to list; each field that is not set excludes none. `since` and `until` are about submission."""

    states: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    caller: str | None = None
    card_id: str | None = None
    fight_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class ArchiveFault(Struct, frozen=True, kw_only=True):
    """A file of the archive that is not as it was written."""

    file: str
    fault: str


class JobArchive:
    """The archive of a ledger. Methods that read files raise ArchiveUnavailableError."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def state(self) -> ArchiveState | None:
        """Return what the ledger knows of its archive, None if nothing was archived yet."""
        fields = self._server.execute("HGETALL", self._server.key(ARCHIVE))
        if b"manifest" not in fields:
            return None
        texts = {name.decode(): value.decode() for name, value in fields.items()}
        return ArchiveState(
            location=f"{texts['store']}/{texts['folder']}",
            version=int(texts["version"]),
            manifest=texts["manifest"],
            outcomes=int(texts["outcomes"]),
            files=int(texts["files"]),
            bytes=int(texts["bytes"]),
            written_at=to_datetime(float(texts["written"])),
            caught_up_at=to_datetime(float(texts["caught_up"])) if "caught_up" in texts else None,
        )

    def find(self, job_id: str) -> ArchivedJob | None:
        """Return where the archive has a job, None if it does not have it. Raises JobArchivedError."""
        known = self._server.run(archived_records(self._server, [job_id]))
        if (error := known.error_of(job_id)) is not None:
            raise error
        found = known.found.get(job_id)
        if found is None:
            return None
        record = {name.decode(): value.decode(errors="replace") for name, value in found.record.items()}
        return ArchivedJob(
            job_id=job_id,
            kind=record.get("kind", ""),
            state=record.get("state", ""),
            attempt=int(record.get("attempt") or 0),
            submitted_at=to_datetime(float(record.get("submitted") or 0)),
            settled_at=to_datetime(float(record.get("settled") or 0)),
            file=found.file,
            caller=record.get("caller"),
            card_id=record.get("card"),
            correlation_id=record.get("correlation") or None,
        )

    def newest(self, query: ArchiveQuery | None = None, *, limit: int = 50) -> list[ArchivedJob]:
        """Return archived jobs, the last submitted first. Reads the columns of every file that may have one."""
        if not 1 <= limit <= MAX_LISTED:
            raise job_refused(f"the limit of a list is 1 to {MAX_LISTED:,} jobs, not {limit}")
        chosen = query or ArchiveQuery()
        return heapq.nlargest(limit, self._matching(chosen), key=lambda job: (job.submitted_at, job.job_id))

    def submitted(self, since: datetime, until: datetime, kinds: Sequence[str]) -> Iterator[tuple[datetime, str]]:
        """Yield the times and ids of the jobs of some kinds submitted from `since` on and before `until`, in order.

        Holds the times and ids of all of them.
        """
        import pyarrow as pa

        if self.state() is None:
            return
        query = ArchiveQuery(since=since, until=until, kinds=tuple(kinds))
        bounds = _milliseconds(since, 0), _milliseconds(until, 2**62)
        found = [table for _, table in self._tables(query, ["submitted_at", "job_id", "kind"], *bounds)]
        if not found:
            return
        together = pa.concat_tables(found).sort_by([("submitted_at", "ascending"), ("job_id", "ascending")])
        for batch in together.to_batches(max_chunksize=4_096):
            for row in batch.to_pylist():
                yield row["submitted_at"], row["job_id"]

    def verify(self) -> Iterator[tuple[ArchivedFile, ArchiveFault | None]]:
        """Read every file, and yield it with what is wrong with it."""
        archive, manifest = self.open()
        for file in manifest.files:
            fault = None
            try:
                self._check(archive, file)
            except ArchiveUnavailableError as error:
                fault = ArchiveFault(file=file.name, fault=str(error))
            yield file, fault

    def open(self) -> tuple[OutcomeArchive, Manifest]:
        """Return the archive and its current manifest."""
        folder, version, store = self._server.execute("HMGET", self._server.key(ARCHIVE), "folder", "manifest", "store")
        if folder is None:
            raise ArchiveUnavailableError("nothing was archived yet: cornerman archive run")
        archive = archive_of(self._server, self._server.settings.archive_place, folder.decode())
        manifest = archive.manifest(version.decode()) or archive.manifest()
        if manifest is None:
            raise ArchiveUnavailableError(
                f"{archive.name} has no archive, it is in {store.decode()}: set CORNERMAN_ARCHIVE_URL, or "
                "CORNERMAN_STORE, as the pools have it"
            )
        return archive, manifest

    def _matching(self, query: ArchiveQuery) -> Iterator[ArchivedJob]:
        columns = [*_LISTED_COLUMNS, *(["fight_ids"] if query.fight_id else [])]
        bounds = _milliseconds(query.since, 0), _milliseconds(query.until, 2**62)
        for file, table in self._tables(query, columns, *bounds):
            for row in table.to_pylist():
                fights = row.pop("fight_ids", None) or ()
                if query.fight_id is None or query.fight_id in fights:
                    yield ArchivedJob(file=file.name, **(row | {"correlation_id": row["correlation_id"] or None}))

    def _tables(
        self, query: ArchiveQuery, columns: Sequence[str], since: int, until: int
    ) -> Iterator[tuple[ArchivedFile, pa.Table]]:
        """Yield the matching rows of every file that may have some, but for the fight."""
        archive, manifest = self.open()
        for file in manifest.files:
            if file.submitted_to >= since and file.submitted_from < until:
                for table in archive.batches(file, columns, rows=4_096):
                    yield file, table.filter(_condition(query, since, until))

    @staticmethod
    def _check(archive: OutcomeArchive, file: ArchivedFile) -> None:
        if archive.digest(file) != file.sha256:
            raise ArchiveUnavailableError(f"{archive.name}/{file.name} has other bytes than were written")
        keys, at = archive.keys(file), 0
        for table in archive.batches(file, ["job_id"], rows=4_096):
            for job_id in table["job_id"].to_pylist():
                if keys[at : at + KEY_BYTES] != key_of(job_id):
                    raise ArchiveUnavailableError(f"{archive.name}/{file.keys_name} has other keys than the rows")
                at += KEY_BYTES
        if at != len(keys):
            raise ArchiveUnavailableError(f"{archive.name}/{file.name} has {at // KEY_BYTES:,} rows, not {file.rows:,}")


def _condition(query: ArchiveQuery, since: int, until: int) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    moment = pa.timestamp("ms", tz="UTC")
    submitted = pc.field("submitted_at")
    condition = submitted >= pa.scalar(since, pa.int64()).cast(moment)
    if query.until is not None:
        condition &= submitted < pa.scalar(until, pa.int64()).cast(moment)
    choices: tuple[tuple[str, Sequence[str]], ...] = (
        ("kind", query.kinds),
        ("state", query.states),
        ("caller", (query.caller,) if query.caller else ()),
        ("card_id", (query.card_id,) if query.card_id else ()),
    )
    for name, values in choices:
        if values:
            condition &= pc.field(name).isin(list(values))
    return condition


def _milliseconds(moment: datetime | None, default: int) -> int:
    if moment is None:
        return default
    if moment.tzinfo is None:
        raise job_refused(f"the time {moment.isoformat()} has no time zone: write it as {moment.isoformat()}Z")
    return max(0, int(moment.astimezone(UTC).timestamp() * 1000))
