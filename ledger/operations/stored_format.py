"""The format in which a ledger's payloads and reports are written: read, switch, and rewrite what is kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from msgspec import Struct

from ledger.compression.stored_values import COMPRESSED_FORMAT, PLAIN_FORMAT, compress, decompress
from ledger.contracts.codec import check_text, job_refused
from ledger.jobs.job_index import JobIndex, JobQuery
from ledger.operations.pool_registry import PoolRegistry
from ledger.server.server import Server

_FIELDS = ("payload", "report", "origin")
_RECORDS_AT_ONCE = 16  # each may have a megabyte
ANNOUNCED = "stored_format"
"""What a pool announces: the newest format that it can read."""


class CompressionState(Struct, frozen=True, kw_only=True):
    """Whether new payloads and reports are compressed, and the living pools that could not read them."""

    on: bool
    stored_format: int
    pools_without: list[str]


class RewriteCount(Struct, frozen=True, kw_only=True):
    """Progress of a rewrite: values looked at, values replaced, and their bytes before and after."""

    looked_at: int
    replaced: int
    bytes_before: int
    bytes_after: int


class StoredFormat:
    """The format of a ledger's values. Processes of every version read all formats up to the newest that they know."""

    def __init__(self, server: Server, pools: PoolRegistry, job_index: JobIndex) -> None:
        self._server = server
        self._pools = pools
        self._job_index = job_index

    def state(self) -> CompressionState:
        """Return the state. A ledger without jobs has no format yet: the first one decides."""
        stored_format = int(self._server.execute("GET", self._server.key("format")) or PLAIN_FORMAT)
        pools = self._pools.alive()
        return CompressionState(
            on=stored_format >= COMPRESSED_FORMAT,
            stored_format=stored_format,
            pools_without=[pool["name"] for pool in pools if pool.get(ANNOUNCED, PLAIN_FORMAT) < COMPRESSED_FORMAT],
        )

    def set_compression(self, on: bool, *, user: str, reason: str) -> bool:
        """Switch compression of new values on or off; return False if it was so already.

        Callers that read outcomes, gateways and relays are not registered: update them before it is switched on.

        Raises
        ------
        JobRefusedError
            A living pool cannot read compressed values.
        LedgerUnavailableError
            The server does not answer.
        """
        check_text("user", user)
        check_text("reason", reason)
        words = ("off", "on") if on else ("on", "off")
        stored_format = COMPRESSED_FORMAT if on else PLAIN_FORMAT
        verdict, *names = self._server.run_script("stored_format", stored_format, *words, user, reason)
        if verdict == b"pools":
            listed = ", ".join(name.decode() for name in names)
            raise job_refused(f"these pools cannot read compressed values, update them first: {listed}")
        self._server.note_format(stored_format)
        return bool(verdict == b"set")

    def rewrite(self) -> Iterator[RewriteCount]:
        """Rewrite what is kept in the ledger's format, some records at a time, and yield the progress.

        To be called again if the format is switched meanwhile. Jobs of which another process writes the outcome
        meanwhile keep what it writes.
        """
        stored_format = self.state().stored_format
        looked_at = replaced = before = after = 0
        listed = self._job_index.jobs(JobQuery(internal=True))
        while jobs := [*islice(listed, _RECORDS_AT_ONCE)]:
            keys = [self._server.key("job", job.job_id) for job in jobs]
            records = self._server.transaction(*(("HMGET", key, *_FIELDS) for key in keys))
            arguments: list[Any] = []
            for job, record in zip(jobs, records, strict=True):
                for field, held, written in _rewritten(record, stored_format):
                    looked_at += 1
                    if written != held:
                        arguments += (job.job_id, field, held, written)
                        before, after = before + len(held), after + len(written)
            replaced += self._server.run_script("rewrite", *arguments) if arguments else 0
            yield RewriteCount(looked_at=looked_at, replaced=replaced, bytes_before=before, bytes_after=after)


def _rewritten(record: Sequence[bytes | None], stored_format: int) -> Iterator[tuple[str, bytes, bytes]]:
    """Yield field, stored value and value in a format; a provenance is compressed next to a compressed report only."""
    report_compressed = False
    for field, held in zip(_FIELDS, record, strict=True):
        if held:
            plain = decompress(held)
            written = plain if field == "origin" and not report_compressed else compress(plain, stored_format)
            report_compressed = field == "report" and written is not plain
            yield field, held, written
