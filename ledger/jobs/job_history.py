"""The history of a job: who submitted it, its claims, how each ended, and what became of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from enum import StrEnum

import msgspec
from msgspec import Struct

from ledger.archive.records import with_archived
from ledger.compression.stored_values import UnreadableValueError, decompress
from ledger.contracts import codec
from ledger.contracts.failures import UnknownJobError
from ledger.contracts.job_state import JobState
from ledger.contracts.provenance import Provenance, decode_provenance
from ledger.jobs.job_index import SUMMARY_FIELDS, JobSummary, summary_of
from ledger.jobs.job_log import JobLogLine, lines_in
from ledger.jobs.outcome_reader import OutcomeReader
from ledger.server.server import Server, to_datetime

_FIELDS = (*SUMMARY_FIELDS, "failure", "origin", "history", "requeued_as", "requeued_from", "log")


class JobEventKind(StrEnum):
    """What happened to a job."""

    SUBMITTED = "submitted"
    QUEUED = "queued"  # what it had to wait for has come
    CLAIMED = "claimed"
    RELEASED = "released"  # queued again by its worker or pool; the attempt does not count
    SNOOZED = "snoozed"  # set aside until it is due; the attempt does not count
    UNDELIVERED = "undelivered"  # the reply to the claim was lost, so that no worker ran it
    WORKER_LOST = "worker_lost"  # its pool found that the worker is gone; the attempt counts
    LEASE_EXPIRED = "lease_expired"  # no worker renewed the lease; the attempt counts
    SUPERSEDED = "superseded"  # a newer card replaced it while it ran
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


_EVENT_NAMES = frozenset(map(str, JobEventKind))


class JobEvent(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event of a job, on the server's clock.

    Attributes
    ----------
    attempt, fence, worker
        The claim; `worker` is `node#incarnation/process`.
    reason
        Why the claim ended, or code and message of the failure.
    caller
        Who submitted the job.
    """

    event: JobEventKind
    at: datetime
    attempt: int | None = None
    fence: int | None = None
    worker: str | None = None
    reason: str | None = None
    caller: str | None = None


class JobHistory(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The history of a job, oldest event first.

    Attributes
    ----------
    dropped_events
        How many of the oldest claims and their ends are no longer kept.
    provenance
        Provenance of the outcome, if a worker produced it.
    requeued_as, requeued_from
        The job that repeats this dead letter, and the dead letter that this job repeats.
    log, dropped_log_lines
        The last log lines about the job, and how many before them are no longer kept.
    """

    job: JobSummary
    events: list[JobEvent]
    dropped_events: int = 0
    provenance: Provenance | None = None
    requeued_as: str | None = None
    requeued_from: str | None = None
    log: list[JobLogLine] = []
    dropped_log_lines: int = 0


class JobHistories:
    """Histories of jobs; each is kept with the job's record."""

    def __init__(self, server: Server, outcomes: OutcomeReader) -> None:
        self._server = server
        self._outcomes = outcomes

    def get(self, job_id: str) -> JobHistory:
        """Return the history of a job. Raises UnknownJobError if it is unknown or forgotten, and JobArchivedError."""
        read = self._server.execute("HMGET", self._server.key("job", job_id), *_FIELDS)
        [values] = self._server.run(with_archived(self._server, [job_id], _FIELDS, [read]))
        if values[1] is None:
            raise UnknownJobError.of_state(job_id, self._outcomes.status(job_id).state)
        failure, origin, history, requeued_as, requeued_from, log = values[len(SUMMARY_FIELDS) :]
        code, reason = _code_and_reason(failure)
        job = summary_of(job_id, [*values[: len(SUMMARY_FIELDS)], code])
        dropped, claims = claims_in((history or b"").decode(errors="replace"))
        dropped_lines, lines = lines_in(log)
        submitted = JobEvent(event=JobEventKind.SUBMITTED, at=job.submitted_at, caller=job.caller)
        return JobHistory(
            job=job,
            events=[submitted, *claims, *_ending(job, reason)],
            dropped_events=dropped,
            provenance=_provenance_in(origin),
            requeued_as=requeued_as.decode() if requeued_as else None,
            requeued_from=requeued_from.decode() if requeued_from else None,
            log=lines,
            dropped_log_lines=dropped_lines,
        )


def _code_and_reason(body: bytes | None) -> tuple[bytes | None, str | None]:
    """Return the code of a failure, and the code with the message; a newer version may have written another code."""
    if body is None:
        return None, None
    try:
        failure = codec.decode_failure(body)
    except (ValueError, msgspec.DecodeError):
        return None, None
    return failure.code.encode(), f"{failure.code}: {failure.message}"


def _provenance_in(text: bytes | None) -> Provenance | None:
    """Return a provenance; None if there is none, or only a newer version can read it."""
    with suppress(msgspec.DecodeError, UnreadableValueError):
        return decode_provenance(decompress(text)) if text else None
    return None


def claims_in(history: str) -> tuple[int, list[JobEvent]]:
    """Return the stored events, and how many before them were dropped."""
    dropped = 0
    events: list[JobEvent] = []
    for line in filter(None, history.split("\n")):
        if line.startswith("dropped "):
            dropped = int(line.removeprefix("dropped "))
        else:
            events += _event_in(line)
    return dropped, events


def _event_in(line: str) -> Iterator[JobEvent]:
    """Yield the event of a line, none for an event that only a newer version knows."""
    name, at, attempt, fence, worker, reason = line.split("\t", 5)
    if name in _EVENT_NAMES:
        yield JobEvent(
            event=JobEventKind(name),
            at=to_datetime(float(at)),
            attempt=int(attempt) if attempt else None,
            fence=int(fence) if fence else None,
            worker=worker or None,
            reason=reason or None,
        )


def _ending(job: JobSummary, reason: str | None) -> Iterator[JobEvent]:
    """Yield the event of a job's outcome, if there is one."""
    if job.settled_at is not None and JobState(job.state).final:
        yield JobEvent(event=JobEventKind(job.state), at=job.settled_at, attempt=job.attempt, reason=reason)
