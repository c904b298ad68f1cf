"""Dead letters: jobs that failed as `worker_lost` on their last attempt, to be inspected, requeued or removed.

A dead letter is an entry in a list next to the outcome, and lives no longer than the outcome.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from msgspec import Struct

from ledger.contracts import codec
from ledger.contracts.failures import (
    Failure,
    FailureCode,
    JobRefusedError,
    LedgerError,
    LedgerUnavailableError,
    PermissionDeniedError,
    UnknownJobError,
)
from ledger.contracts.job_state import Receipt
from ledger.contracts.jobs import ROUTES
from ledger.contracts.reports import Report
from ledger.jobs.job_entries import MAX_KEY_CHARACTERS
from ledger.jobs.job_records import JobRecords
from ledger.jobs.outcome_reader import OutcomeReader
from ledger.jobs.submission import Submission
from ledger.server.server import Server, to_datetime

_LETTERS_AT_ONCE = 500
_FIELDS = ("kind", "queue", "attempt", "submitted", "failure", "correlation")
_RECORD = (*_FIELDS, "caller")
_LIFE = re.compile(r"(?P<origin>.*)~(?P<life>[1-9][0-9]{0,8})", re.DOTALL)


class DeadLetter(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A job that ended as `worker_lost`. Times are the server's."""

    job_id: str
    kind: str
    queue: str
    attempts: int
    submitted_at: datetime
    died_at: datetime
    failure: Failure
    correlation_id: str | None = None
    caller: str | None = None


class DeadLetterQuery(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The dead letters to select: of these kinds, that died before this time; by default all."""

    kinds: tuple[str, ...] = ()
    died_before: datetime | None = None


class RequeuedLetter(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of requeueing one dead letter: `new_job_id`, or the failure why there is none."""

    job_id: str
    new_job_id: str | None = None
    created: bool = False
    failure: Failure | None = None


class PurgedLetter(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of purging one dead letter; False if there was none of this id."""

    job_id: str
    purged: bool


class DeadLetters:
    """Dead letters of the ledger."""

    def __init__(self, server: Server, submission: Submission, outcomes: OutcomeReader, records: JobRecords) -> None:
        self._server = server
        self._submission = submission
        self._outcomes = outcomes
        self._records = records

    def newest(self, limit: int = 100) -> list[DeadLetter]:
        """Return dead letters, newest first."""
        entries = self._server.execute("ZREVRANGE", self._server.key("dead"), 0, limit - 1, "WITHSCORES")
        return self._read(entries)

    def _read(self, entries: list[bytes]) -> list[DeadLetter]:
        """Return the letters of ids and times, without those whose record is gone."""
        if not entries:
            return []
        ids, times = [job_id.decode() for job_id in entries[::2]], entries[1::2]
        records = self._server.transaction(*(("HMGET", self._server.key("job", job_id), *_RECORD) for job_id in ids))
        return [
            _letter(job_id, died, record)
            for job_id, died, record in zip(ids, times, records, strict=True)
            if None not in record[: len(_FIELDS)]  # its retention may have ended since
        ]

    def oldest_at(self) -> datetime | None:
        """Return when the oldest dead letter died, None if there is none."""
        found = self._server.execute(
            "ZRANGEBYSCORE", self._server.key("dead"), "-inf", "+inf", "WITHSCORES", "LIMIT", 0, 1
        )
        return to_datetime(found[1]) if found else None

    def select(self, query: DeadLetterQuery | None = None) -> Iterator[DeadLetter]:
        """Yield the dead letters of a query, newest first.

        Raises
        ------
        JobRefusedError
            `invalid_input`: a kind is none, or the time has no time zone.
        """
        query = query or DeadLetterQuery()
        if unknown := [kind for kind in query.kinds if kind not in ROUTES]:
            raise codec.job_refused(f"{unknown[0]!r} is no kind of job: choose of {', '.join(sorted(ROUTES))}")
        if query.died_before is not None and query.died_before.tzinfo is None:
            raise codec.job_refused(f"the time {query.died_before.isoformat()} has no time zone")
        newest = "+inf" if query.died_before is None else f"({int(query.died_before.timestamp() * 1000)}"
        found = self._server.execute("ZREVRANGEBYSCORE", self._server.key("dead"), newest, "-inf", "WITHSCORES")
        for first in range(0, len(found), 2 * _LETTERS_AT_ONCE):
            for letter in self._read(found[first : first + 2 * _LETTERS_AT_ONCE]):
                if not query.kinds or letter.kind in query.kinds:
                    yield letter

    def get(self, job_id: str) -> DeadLetter:
        """Return one dead letter. Raises UnknownJobError if there is none of this id."""
        died, record = self._server.transaction(
            ("ZSCORE", self._server.key("dead"), job_id), ("HMGET", self._server.key("job", job_id), *_RECORD)
        )
        if died is None or None in record[: len(_FIELDS)]:
            raise UnknownJobError(f"job {job_id} is not in the dead-letter list")
        return _letter(job_id, died, record)

    def requeue(self, job_id: str) -> Receipt[Report]:
        """Submit a dead job's content as a new job, and remove the dead letter.

        No outcome is ever replaced: `job_id` stays `worker_lost`, and the receipt has the id of the new job, `<id>~2`
        (then `~3`, and so on), with attempts of its own. A repeated call for the same letter returns the same new job.

        Raises
        ------
        UnknownJobError
            No such job.
        LedgerError
            The job did not end as `worker_lost`.
        JobRefusedError
            As from `submit`, for example `expired`, or `superseded`; the dead letter stays.
        """
        outcome = self._outcomes.outcome(job_id)
        if outcome is None:
            raise UnknownJobError(
                f"job {job_id} is {self._outcomes.status(job_id).state}: only a dead letter can be queued again"
            )
        if outcome.failure is None or outcome.failure.code is not FailureCode.WORKER_LOST:
            raise LedgerError(f"job {job_id} ended as {outcome.state}: only a dead letter can be queued again")
        if outcome.superseded_by is not None:
            raise codec.job_refused(
                f"job {job_id} is superseded by job {outcome.superseded_by}, which has newer prices of its card: purge "
                "the dead letter",
                FailureCode.SUPERSEDED,
                superseded_by=outcome.superseded_by,
            )
        receipt = self._submission.submit(
            self._records.job(job_id),
            key=requeued_job_id(job_id),
            correlation_id=outcome.correlation_id,
            caller=outcome.caller,
        )
        self._server.run_script("requeued", job_id, receipt.job_id)
        return receipt

    def requeue_many(self, job_ids: Iterable[str]) -> list[RequeuedLetter]:
        """Requeue dead letters one after the other, and return what became of each.

        A letter that cannot be requeued stays, and does not stop the others. Repeating the call is safe. Raises
        LedgerUnavailableError.
        """
        return [self._requeue_or_explain(job_id) for job_id in dict.fromkeys(job_ids)]

    def _requeue_or_explain(self, job_id: str) -> RequeuedLetter:
        try:
            receipt = self.requeue(job_id)
        except JobRefusedError as refused:
            return RequeuedLetter(job_id=job_id, failure=refused.failure)
        except (LedgerUnavailableError, PermissionDeniedError):
            raise
        except LedgerError as error:  # it is unknown, or no dead letter
            failure = Failure(code=FailureCode.INVALID_INPUT, message=str(error))
            return RequeuedLetter(job_id=job_id, failure=failure)
        return RequeuedLetter(job_id=job_id, new_job_id=receipt.job_id, created=receipt.created)

    def purge_many(self, job_ids: Iterable[str]) -> list[PurgedLetter]:
        """Remove dead letters in steps, and return for each id whether there was one."""
        once = list(dict.fromkeys(job_ids))
        marks: list[int] = []
        for first in range(0, len(once), _LETTERS_AT_ONCE):
            marks += self._server.run_script("purge", "listed", *once[first : first + _LETTERS_AT_ONCE])
        return [PurgedLetter(job_id=job_id, purged=bool(mark)) for job_id, mark in zip(once, marks, strict=True)]

    def purge(self, *job_ids: str) -> int:
        """Remove dead letters and return how many there were. Outcomes stay readable until their retention ends."""
        return int(self._server.run_script("purge", "dead", *job_ids)) if job_ids else 0

    def purge_all(self) -> int:
        """Remove all dead letters and return how many there were."""
        return int(self._server.run_script("purge", "dead"))


def requeued_job_id(job_id: str) -> str:
    """Return the id under which a dead job is requeued. Raises JobRefusedError if it is too long for a key."""
    again = _LIFE.fullmatch(job_id)
    name = f"{again['origin']}~{int(again['life']) + 1}" if again else f"{job_id}~2"
    if len(name) > MAX_KEY_CHARACTERS:
        raise codec.job_refused(
            f"{name!r} is longer than {MAX_KEY_CHARACTERS} characters: submit the job under another key"
        )
    return name


def _letter(job_id: str, died: bytes, record: list[Any]) -> DeadLetter:
    kind, queue, attempt, submitted, failure, correlation, caller = record
    return DeadLetter(
        job_id=job_id,
        kind=kind.decode(),
        queue=queue.decode(),
        attempts=int(attempt),
        submitted_at=to_datetime(submitted),
        died_at=to_datetime(died),
        failure=codec.decode_failure(failure),
        correlation_id=correlation.decode() or None,
        caller=caller.decode() if caller else None,
    )
