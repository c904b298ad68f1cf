"""The caller's way in: a job is checked, gets its id, and is accepted once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from ledger import admission, wire
from ledger.failures import FailureCode, JobRefused, LedgerError
from ledger.freshness import fresh_until, stale_odds
from ledger.jobs import ROUTES, DataPlan, Job, Part, PredictCard, ShadowCard, kind_of
from ledger.outcomes import Receipt
from ledger.refusals import ServerFull, refusal_of
from ledger.reports import Report
from ledger.server import Server, moment

if TYPE_CHECKING:
    import redis
else:
    from ledger import redis_on_demand as redis

TRAINING_GRACE_SECONDS = 60.0
MAX_KEY_CHARACTERS = 200


class Submission(Server):
    """Accepting jobs."""

    def submit(
        self, job: Job, *, key: str | None = None, correlation_id: str | None = None, durable: bool = False
    ) -> Receipt[Report]:
        """Accept a job, once.

        Its id is `key`, or else a digest of its content: submitting it again gives the same job, whatever its state,
        with `created=False`. Once its retention is over, the same job is accepted as a new one. `durable` waits until
        the server has it in its append-only file on disk (Valkey, or Redis >= 7.2).

        Raises:
            JobRefused: nothing was written. `invalid_input` or `unsupported_schema` from the checks; `invalid_input`
                where `key` names a job of other content; `expired` where the deadline has passed; `stale_odds`;
                `memory_limit_exceeded` where the queue or the server is full, with `retry_after_seconds` in its
                details, or the server's maxmemory-policy may evict what the ledger keeps (a job that is known is
                answered nevertheless).
            LedgerError: the server cannot confirm what `durable` asks for; the message says if the job was accepted.
            LedgerUnavailable: the server does not answer; submitting again is safe.
        """
        return self.submit_many([job], keys=[key], correlation_id=correlation_id, durable=durable)[0]

    def submit_many(
        self,
        jobs: Sequence[Job],
        *,
        keys: Sequence[str | None] | None = None,
        correlation_id: str | None = None,
        durable: bool = False,
    ) -> list[Receipt[Report]]:
        """Accept all of the jobs or none, in one atomic step. Raises as `submit` does, for the first refused."""
        if not jobs:
            return []
        entries = [_enter(job, key) for job, key in zip(jobs, keys or [None] * len(jobs), strict=True)]
        contents: dict[str, str] = {}
        for entry in entries:
            if contents.setdefault(entry.job_id, entry.digest) != entry.digest:
                raise _conflict(entry)
        arguments: list[Any] = [int(durable), self.settings.max_queue_length, self.settings.max_memory_fraction]
        for entry in entries:
            arguments += (*entry.arguments(), correlation_id or "")
        try:
            verdict, *marks = (self._submit_durably if durable else self._submit)(arguments)
        except ServerFull as error:
            raise JobRefused(admission.out_of_memory()) from error
        if verdict != b"accepted":
            raise self._refusal(entries, verdict.decode(), marks)
        return [
            Receipt(job_id=entry.job_id, created=bool(created), durable=durable)
            for entry, created in zip(entries, marks, strict=True)
        ]

    def shadow(self, shadows: Sequence[ShadowCard]) -> int:
        """Queue shadows of answered cards, as a worker may; return how many were new, and for which there was room.

        Raises LedgerUnavailable.
        """
        entries = [_enter(shadow, None) for shadow in shadows]
        arguments = [part for entry in entries for part in entry.arguments()[:-1]]
        return int(self._run("shadow", self.settings.max_queue_length, *arguments)) if entries else 0

    def _refusal(self, entries: list[_Entry], verdict: str, figures: list[Any]) -> JobRefused:
        """Say why submit.lua took nothing."""
        if verdict == "long":
            waiting, new, settled, span_ms = map(int, figures)
            most = self.settings.max_queue_length
            return JobRefused(admission.queue_full(waiting, new, most, settled, span_ms / 1000))
        if verdict == "memory":
            return JobRefused(admission.memory_full(*map(int, figures)))
        if verdict == "evicts":
            return JobRefused(admission.evicting(figures[0].decode()))
        entry, now = entries[figures[0]], moment(figures[1])
        if verdict == "stale" and isinstance(job := entry.job, PredictCard):
            return JobRefused(stale_odds(job, now))
        return _expired(entry) if verdict == "expired" else _conflict(entry)

    def _submit(self, arguments: list[Any]) -> list[Any]:
        return list(self._run("submit", *arguments))

    def _submit_durably(self, arguments: list[Any]) -> list[Any]:
        """Submit and wait for the disk on one connection: WAITAOF speaks only of its own connection's writes."""
        patience_seconds = self.settings.fsync_timeout_seconds
        wait = ("WAITAOF", 1, 0, round(patience_seconds * 1000))
        self._check_that_waitaof_works()  # before anything is written, so that a refusal leaves nothing behind
        try:
            answer, (fsynced, _) = self._run_and("submit", arguments, wait, blocks_seconds=patience_seconds)
        except redis.ResponseError as error:
            raise LedgerError(
                f"the server at {self.address} cannot confirm a durable submit any more ({error}): submit again to "
                "find out whether it was accepted (it stays one job)"
            ) from error
        if answer[0] == b"accepted" and not fsynced:
            raise LedgerError(
                f"accepted, but not on disk after {patience_seconds:g} s: submit again to confirm "
                "(it stays one job), or set `appendfsync everysec` or `always`"
            )
        return list(answer)

    def _check_that_waitaof_works(self) -> None:
        with self._reaching():
            [reply] = self._connections.ask(("WAITAOF", 1, 0, 1))
            if isinstance(reply, redis.ResponseError):
                if refusal_of(reply) is not None and "unknown command" not in str(reply):
                    raise reply
                raise LedgerError(
                    f"the server at {self.address} cannot confirm a durable submit, nothing was written ({reply}): use "
                    "Valkey or Redis >= 7.2 with `appendonly yes`, or submit without `durable`"
                )


class _Entry(msgspec.Struct, frozen=True):
    """A checked job on its way to the server, as it is written: of many at once, the values would fill the memory."""

    job_id: str
    payload: bytes
    digest: str
    kind: str
    limit_seconds: float
    deadline: datetime | None
    fresh_until: datetime | None

    @property
    def job(self) -> Job:
        """The job, read once more."""
        return wire.decode_job(self.payload)

    def arguments(self) -> tuple[Any, ...]:
        """Return what submit.lua wants to know of a job, short of the correlation id."""
        return (
            self.job_id,
            self.digest,
            self.kind,
            ROUTES[self.kind].queue,
            self.payload,
            _milliseconds(self.deadline),
            self.limit_seconds,
            _milliseconds(self.fresh_until),
        )


def deadline_of(job: Job) -> datetime | None:
    """Return when an answer becomes worthless: for a card the event's start, unless `deadline` says otherwise."""
    if job.deadline is None and isinstance(job, PredictCard):
        return job.event_start
    return job.deadline


def time_limit_seconds(job: Job) -> float:
    """Return how long one attempt may run.

    The route's limit; for training the caller's own `max_training_time_seconds` and a grace, so that the engine's
    typed error comes before the kill.
    """
    if isinstance(job, DataPlan | Part):
        return job.max_training_time_seconds + TRAINING_GRACE_SECONDS
    return ROUTES[kind_of(job)].time_limit_seconds


def _enter(job: Job, key: str | None) -> _Entry:
    """Check a job by reading what will be written: constructing a value in Python checks no type and no limit."""
    if key is not None and not (0 < len(key) <= MAX_KEY_CHARACTERS and key.isprintable()):
        raise wire.refuse(f"a key has 1 to {MAX_KEY_CHARACTERS} printable characters, {key[:40]!r} has not")
    try:
        checked = wire.decode_job(wire.encode(job))
        deadline, fresh = (limit and limit.astimezone(UTC) for limit in (deadline_of(checked), fresh_until(checked)))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise wire.refuse(f"the job cannot be written: {error}") from error
    payload = wire.canonical(checked)  # a price of 2 and one of 2.0 are the same content
    digest = wire.content_digest(payload)
    return _Entry(
        job_id=digest if key is None else key,
        payload=payload,
        digest=digest,
        kind=kind_of(checked),
        limit_seconds=time_limit_seconds(checked),
        deadline=deadline,
        fresh_until=fresh,
    )


def _milliseconds(limit: datetime | None) -> int | str:
    return "" if limit is None else int(limit.timestamp() * 1000)


def _conflict(entry: _Entry) -> JobRefused:
    return wire.refuse(
        f"the key {entry.job_id!r} names a job with other content: choose another key, or submit that content"
    )


def _expired(entry: _Entry) -> JobRefused:
    if isinstance(job := entry.job, PredictCard):
        start = job.event_start.isoformat()
        message = (
            f"the event of card {job.card_id!r} started at {start} and that is the deadline"
            if job.deadline is None
            else f"the deadline of card {job.card_id!r} (event start {start}) was {entry.deadline}"
        )
    else:
        message = f"the deadline of this {entry.kind} was {entry.deadline}"
    return wire.refuse(f"{message}: set `deadline` to a later moment to have it answered", FailureCode.EXPIRED)
