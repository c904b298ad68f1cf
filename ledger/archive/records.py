"""Records of jobs wherever they are: those that the server no longer has are read from the archive.

Readers pass on what they have read of a record; only if it is not there, its tombstone is read, which says where the
archive has it. After the tombstone the archive itself is asked.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from ledger.contracts.failures import ArchiveUnavailableError, JobArchivedError
from ledger.server.base_server import BaseServer
from ledger.server.exchanges import Call, Exchange

if TYPE_CHECKING:
    from ledger.archive.outcome_archive import FoundRecord, OutcomeArchive

ARCHIVE = "archive"
"""Key of the state of the archive: see archive_publish.lua."""
Fields = list[bytes | None]
"""Values of some fields of a record."""
_archives: weakref.WeakKeyDictionary[BaseServer, tuple[str, OutcomeArchive]] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


class Tombstone(NamedTuple):
    """What is left of a job whose record has gone. `state` and `file` are '' unless it was archived."""

    digest: str
    state: str
    file: str


class ArchivedRecords(NamedTuple):
    """What is known of jobs without a record on the server.

    Attributes
    ----------
    found
        The records of those that could be read from the archive.
    tombstones
        The tombstones of those that have one.
    unread
        Why the archive could not be read, None if it could or there is none.
    location
        The archive, '' if there is none.
    """

    found: Mapping[str, FoundRecord]
    tombstones: Mapping[str, Tombstone]
    unread: str | None = None
    location: str = ""

    def location_of(self, job_id: str) -> str:
        """Return where a job is archived, '' if it is not."""
        tombstone = self.tombstones.get(job_id)
        return f"{self.location}/{tombstone.file}" if tombstone is not None and tombstone.file else ""

    def error_of(self, job_id: str) -> JobArchivedError | None:
        """Return why a job cannot be read that is archived, or may be."""
        tombstone = self.tombstones.get(job_id)
        if job_id in self.found or self.unread is None or (tombstone is not None and not tombstone.file):
            return None
        return JobArchivedError(job_id, self.location_of(job_id) or f"{self.location}, or unknown", self.unread)


def read_tombstone(text: bytes) -> Tombstone:
    """Read a tombstone: the digest of the job, and of an archived one its state and the file."""
    digest, _, rest = text.decode().partition(" ")
    state, _, file = rest.partition(" ")
    return Tombstone(digest, state, file)


def archived_records(server: BaseServer, job_ids: Sequence[str]) -> Exchange[ArchivedRecords]:
    """Look for jobs without a record on the server."""
    *texts, (version, folder, store) = yield from server.multi(
        *(("GET", server.key("forgotten", job_id)) for job_id in job_ids),
        ("HMGET", server.key(ARCHIVE), "manifest", "folder", "store"),
    )
    tombstones = {job_id: read_tombstone(text) for job_id, text in zip(job_ids, texts, strict=True) if text is not None}
    if version is None:
        return ArchivedRecords({}, tombstones)
    location = f"{store.decode()}/{folder.decode()}"
    # Without a file in its tombstone a job was never archived.
    wanted = {job_id: tombstones[job_id].file if job_id in tombstones else "" for job_id in job_ids}
    wanted = {job_id: file for job_id, file in wanted.items() if file or job_id not in tombstones}
    if not wanted:
        return ArchivedRecords({}, tombstones, None, location)
    archive = archive_of(server, server.settings.archive_place, folder.decode())
    try:
        found = yield Call(lambda: _read(archive, version.decode(), wanted))
    except ArchiveUnavailableError as error:
        return ArchivedRecords({}, tombstones, str(error), location)
    return ArchivedRecords(found, tombstones, None, location)


def with_archived(
    server: BaseServer, job_ids: Sequence[str], fields: Iterable[str], read: Sequence[Fields], *, leave: bool = False
) -> Exchange[list[Fields]]:
    """Return fields of records, those of archived jobs from the archive.

    Parameters
    ----------
    server
        The server that the fields were read from.
    job_ids, fields, read
        The jobs, the fields and what the server has of them; all None if it has no record.
    leave
        Leave out what cannot be read, as if its retention were over.

    Raises
    ------
    JobArchivedError
        A job is archived, or may be, and the archive cannot be read from here.
    """
    gone = [job_id for job_id, values in zip(job_ids, read, strict=True) if not any(v is not None for v in values)]
    if not gone:
        return list(read)
    known = yield from archived_records(server, gone)
    for job_id in gone if not leave else ():
        if (error := known.error_of(job_id)) is not None:
            raise error
    names = [field.encode() for field in fields]
    return [
        [known.found[job_id].record.get(name) for name in names] if job_id in known.found else values
        for job_id, values in zip(job_ids, read, strict=True)
    ]


def archive_of(server: BaseServer, url: str, folder: str) -> OutcomeArchive:
    """Return the archive in a folder at a URL, opened once for each server."""
    from ledger.archive.outcome_archive import OutcomeArchive  # few callers ask for what the server no longer has

    place = f"{url}/{folder}"
    with _lock:
        known = _archives.get(server)
        if known is None or known[0] != place:
            known = _archives[server] = (place, OutcomeArchive.at(url, folder))
    return known[1]


def _read(archive: OutcomeArchive, version: str, wanted: Mapping[str, str]) -> dict[str, FoundRecord]:
    manifest = archive.manifest(version)
    if manifest is not None:
        with suppress(ArchiveUnavailableError):  # its files may have been merged since, and removed
            return archive.find(manifest, wanted)
    manifest = archive.manifest()
    if manifest is None:
        raise ArchiveUnavailableError(
            f"{archive.name} has no archive: set CORNERMAN_ARCHIVE_URL, or CORNERMAN_STORE, as the pools have it"
        )
    return archive.find(manifest, wanted)
