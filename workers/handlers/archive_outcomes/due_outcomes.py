"""The outcomes that are due for the archive, read from the server in batches of limited size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from contextlib import suppress
from typing import NamedTuple

from ledger.compression.stored_values import UnreadableValueError, decompress
from ledger.contracts.jobs import ROUTES
from ledger.ledger import Ledger

FINAL_STATES = ("succeeded", "failed", "expired", "cancelled")
URGENT_FRACTION = 0.2
"""The last part of the retention, in which an outcome moves even if something may still need it on the server."""
MAX_ROWS, MAX_BYTES = 20_000, 64 * 2**20
"""Limits of a batch; each batch is one file of a month."""
_ENTRIES_AT_ONCE, _BYTES_AT_ONCE, _IDS_AT_ONCE = 1_000, 2**20, 500


class DueOutcome(NamedTuple):
    """A job's record, with its long fields uncompressed, and the fingerprint of what may still change."""

    job_id: str
    fingerprint: str
    record: dict[bytes, bytes]

    @property
    def settled_ms(self) -> int:
        """When the job was settled."""
        return int(self.record[b"settled"])


class DueOutcomes:
    """Outcomes that are due.

    Parameters
    ----------
    ledger
        The ledger.
    keep_seconds
        How long an outcome stays on the server.
    """

    def __init__(self, ledger: Ledger, keep_seconds: float) -> None:
        self._ledger = ledger
        now_ms = round(ledger.server.time() * 1000)
        self._urgent_ms = round(ledger.settings.retention_seconds * URGENT_FRACTION * 1000)
        self._urgent_before_ms = now_ms - round(ledger.settings.retention_seconds * 1000) + self._urgent_ms
        self._before_ms = min(now_ms - round(keep_seconds * 1000), *self._read_by_webhooks(), now_ms)
        self._bets = {bet.job_id for bet in ledger.bets.open_bets()}

    def batches(self) -> Iterator[list[DueOutcome]]:
        """Yield what is due, a batch after the other."""
        batch: list[DueOutcome] = []
        size = 0
        for due in self._all():
            batch.append(due)
            size += sum(map(len, due.record.values()))
            if len(batch) >= MAX_ROWS or size >= MAX_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def _all(self) -> Iterator[DueOutcome]:
        for kind in ROUTES:
            for state in FINAL_STATES:
                submitted, job_id = "", ""
                while True:
                    place, last_id, *found = self._ledger.server.run_script(
                        "archive_due",
                        "scan",
                        kind,
                        state,
                        self._before_ms,
                        self._urgent_ms,
                        submitted,
                        job_id,
                        _ENTRIES_AT_ONCE,
                        _BYTES_AT_ONCE,
                    )
                    for due in _read(self._ledger, found):
                        if due.job_id not in self._bets or due.settled_ms < self._urgent_before_ms:
                            yield due
                    if not place:
                        break
                    submitted, job_id = place.decode(), last_id.decode()

    def _read_by_webhooks(self) -> Iterator[int]:
        """Yield for each webhook the time of the oldest outcome that it has not delivered yet (ms)."""
        server = self._ledger.server
        for webhook in self._ledger.webhooks.all():
            if webhook.enabled:
                ages = server.key("webhook", webhook.id, "ages")
                cursor, oldest = server.transaction(
                    ("HGET", server.key("webhook", webhook.id), "cursor"),
                    ("ZRANGEBYSCORE", ages, "-inf", "+inf", "WITHSCORES", "LIMIT", 0, 1),
                )
                latest = self._ledger.latest_place()
                if cursor is not None and cursor.decode() not in ("0", latest):
                    yield int(cursor.partition(b"-")[0])
                if oldest:
                    yield int(float(oldest[1]))


def still_there(ledger: Ledger, job_ids: Iterable[str]) -> Iterator[DueOutcome]:
    """Yield the records that the server has of some jobs."""
    ids = list(job_ids)
    for first in range(0, len(ids), _IDS_AT_ONCE):
        _, _, *found = ledger.server.run_script("archive_due", "ids", *ids[first : first + _IDS_AT_ONCE])
        yield from _read(ledger, found)


def drop(ledger: Ledger, file: str, outcomes: Iterable[DueOutcome]) -> Set[str]:
    """Remove records that a file of the archive has; return the ids of those that have changed, and stay."""
    chosen = list(outcomes)
    changed: set[str] = set()
    for first in range(0, len(chosen), _IDS_AT_ONCE):
        some = chosen[first : first + _IDS_AT_ONCE]
        arguments = [
            value
            for due in some
            for value in (
                due.job_id,
                due.fingerprint,
                *(due.record[name] for name in (b"submitted", b"settled", b"state")),
            )
        ]
        marks = ledger.server.run_script("archive_drop", file, *arguments)
        changed |= {due.job_id for due, mark in zip(some, marks, strict=True) if not mark}
    return changed


def _read(ledger: Ledger, found: list[bytes]) -> Iterator[DueOutcome]:
    """Yield the records of ids and fingerprints. One that has changed since stays, because its fingerprint is old."""
    job_ids = [job_id.decode() for job_id in found[::2]]
    if not job_ids:
        return
    records = ledger.server.transaction(*(("HGETALL", ledger.server.key("job", job_id)) for job_id in job_ids))
    for job_id, fingerprint, record in zip(job_ids, found[1::2], records, strict=True):
        if b"settled" in record:  # otherwise its retention has ended since
            for name in (b"payload", b"report", b"origin"):
                if name in record:
                    with suppress(UnreadableValueError):  # it is archived as it is, and read back as unreadable
                        record[name] = decompress(record[name])
            yield DueOutcome(job_id, fingerprint.decode(), record)
