"""Submissions and outcomes of a range of time, oldest first, as an audit lists them."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice, pairwise

from msgspec import Raw, Struct
from msgspec.structs import replace

from ledger.archive.job_archive import JobArchive
from ledger.archive.records import with_archived
from ledger.compression.stored_values import decompress
from ledger.contracts.failures import ArchiveUnavailableError
from ledger.contracts.job_state import OutcomeDocument
from ledger.contracts.jobs import ROUTES
from ledger.jobs.job_index import (
    INTERNAL_KINDS,
    MAX_PAGE_JOBS,
    SUMMARY_FIELDS,
    JobIndex,
    JobQuery,
    JobSummary,
    summary_of,
)
from ledger.jobs.outcome_records import OUTCOME_FIELDS, decode_document
from ledger.server.server import Server, to_datetime
from ledger.server.stream_ranges import stream_between

_RECORDS_AT_ONCE = 16  # each may have a megabyte
_SUBMITTED = ("submitted", "digest", "payload")


class SubmittedJob(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A job as it was submitted. `payload` is the job's JSON, `digest` that of its content."""

    job_id: str
    kind: str
    queue: str
    submitted_at: datetime
    digest: str
    payload: Raw
    deadline: datetime | None = None
    card_id: str | None = None
    caller: str | None = None
    correlation_id: str | None = None


class SettledJob(Struct, frozen=True, kw_only=True):
    """An outcome, and its number in the order of settling. `at` is when it entered the stream of outcomes."""

    at: datetime
    number: int | None
    outcome: OutcomeDocument


class LostOutcomes(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Outcomes that are no longer held: those numbered `first` to `last`, or the one of `job_id`.

    Those before the first that is held may have been settled before the range.
    """

    at: datetime
    first: int | None = None
    last: int | None = None
    job_id: str | None = None


class JobAudit:
    """Submissions and outcomes by time.

    Jobs that workers submit for each other are left out. A range that has ended does not change any more, except that
    jobs leave it with the end of their retention.
    """

    def __init__(self, server: Server, job_index: JobIndex, archive: JobArchive) -> None:
        self._server = server
        self._job_index = job_index
        self._archive = archive

    def submissions(self, since: datetime, until: datetime) -> Iterator[SubmittedJob]:
        """Yield the jobs submitted at or after `since` and before `until`, as far as they are held, oldest first.

        Raises ArchiveUnavailableError if some are archived and cannot be read from here, or were archived meanwhile.
        """
        before = self._archive.state()
        archived = self._archived(since, until)
        key = lambda job: (job.submitted_at, job.job_id)  # noqa: E731
        yield from heapq.merge(self._on_server(since, until), archived, key=key)
        if self._archive.state() != before:
            raise ArchiveUnavailableError("jobs were archived while the range was read: read it again")

    def _archived(self, since: datetime, until: datetime) -> Iterator[SubmittedJob]:
        kinds = [kind for kind in ROUTES if kind not in INTERNAL_KINDS]
        found = self._archive.submitted(since, until, kinds)
        while chosen := list(islice(found, _RECORDS_AT_ONCE)):
            ids = [job_id for _, job_id in chosen]
            unread: list[list[bytes | None]] = [[None] * len(SUMMARY_FIELDS)] * len(ids)
            records = self._server.run(with_archived(self._server, ids, SUMMARY_FIELDS, unread))
            yield from self._as_submitted(
                [summary_of(job_id, [*record, None]) for job_id, record in zip(ids, records, strict=True)]
            )

    def _on_server(self, since: datetime, until: datetime) -> Iterator[SubmittedJob]:
        # The index is read from its newest end. So the ends of its pages are noted first, and the pages read backwards.
        ends = [until]
        cursor = None
        while True:
            page = self._job_index.page(JobQuery(since=since, until=until), limit=MAX_PAGE_JOBS, cursor=cursor)
            ends += [job.submitted_at for job in page.jobs[-1:]]
            if (cursor := page.cursor) is None:
                break
        for end, start in reversed([*pairwise(ends)]):
            jobs = [*self._job_index.jobs(JobQuery(since=start, until=end))][::-1]
            for first in range(0, len(jobs), _RECORDS_AT_ONCE):
                yield from self._as_submitted(jobs[first : first + _RECORDS_AT_ONCE])

    def outcomes(self, since: datetime, until: datetime) -> Iterator[SettledJob | LostOutcomes]:
        """Yield the outcomes settled at or after `since` and before `until`, and where some are missing, in order."""
        if (lost := self._dropped_before(since)) is not None:
            yield lost
        expected = None
        waiting: list[tuple[datetime, int | None, str]] = []
        for place, fields in stream_between(self._server, self._server.key("outcomes"), since, until):
            at = to_datetime(float(place.partition("-")[0]))
            number = int(fields[b"number"]) if b"number" in fields else None
            if expected is not None and number is not None and number > expected:
                yield from self._outcomes_of(waiting)
                waiting = []
                yield LostOutcomes(at=at, first=expected, last=number - 1)
            expected = None if number is None else number + 1
            waiting.append((at, number, fields[b"job"].decode()))
            if len(waiting) == _RECORDS_AT_ONCE:
                yield from self._outcomes_of(waiting)
                waiting = []
        yield from self._outcomes_of(waiting)

    def _as_submitted(self, jobs: Sequence[JobSummary]) -> Iterator[SubmittedJob]:
        ids = [job.job_id for job in jobs]
        records = self._server.transaction(*(("HMGET", self._server.key("job", job_id), *_SUBMITTED) for job_id in ids))
        records = self._server.run(with_archived(self._server, ids, _SUBMITTED, records))
        for job, (submitted, digest, payload) in zip(jobs, records, strict=True):
            if submitted is None or digest is None or payload is None or to_datetime(submitted) != job.submitted_at:
                continue  # its retention ended since it was listed
            yield SubmittedJob(
                job_id=job.job_id,
                kind=job.kind,
                queue=job.queue,
                submitted_at=job.submitted_at,
                digest=digest.decode(),
                payload=Raw(decompress(payload)),
                deadline=job.deadline,
                card_id=job.card_id,
                caller=job.caller,
                correlation_id=job.correlation_id,
            )

    def _outcomes_of(self, entries: Sequence[tuple[datetime, int | None, str]]) -> Iterator[SettledJob | LostOutcomes]:
        if not entries:
            return
        job_ids = [job_id for _, _, job_id in entries]
        records = self._server.transaction(
            *(("HMGET", self._server.key("job", job_id), *OUTCOME_FIELDS) for job_id in job_ids)
        )
        records = self._server.run(with_archived(self._server, job_ids, OUTCOME_FIELDS, records))
        for (at, number, job_id), record in zip(entries, records, strict=True):
            outcome = decode_document(job_id, record)
            # A job whose retention is over may have been submitted again.
            if outcome is None or outcome.settled_at > at:
                yield LostOutcomes(at=at, first=number, last=number, job_id=job_id)
            else:
                # Whether a newer card replaces it may change later.
                yield SettledJob(at=at, number=number, outcome=replace(outcome, superseded_by=None))

    def _dropped_before(self, since: datetime) -> LostOutcomes | None:
        """Return the outcomes before the first that is held, if some of them may be of a range from `since` on."""
        oldest, count = self._server.transaction(
            ("XRANGE", self._server.key("outcomes"), "-", "+", "COUNT", 1),
            ("HGET", self._server.key("counts"), "outcomes"),
        )
        if not oldest:
            return LostOutcomes(at=since, first=1, last=int(count)) if count else None
        place, fields = oldest[0]
        at = to_datetime(float(place.decode().partition("-")[0]))
        number = int(fields.get(b"number", 1))
        return LostOutcomes(at=since, first=1, last=number - 1) if at >= since and number > 1 else None
