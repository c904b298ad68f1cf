"""Jobs on their way to the server: each is checked, gets its id, and is encoded as it will be stored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, TypeAlias

import msgspec

from ledger.compression.stored_values import compress, decompress
from ledger.contracts import codec
from ledger.contracts.jobs import ROUTES, DataPlan, Job, JobPart, PredictCard, kind_of
from ledger.jobs.conditions import reading_of
from ledger.jobs.quote_age import fresh_until

TRAINING_GRACE_SECONDS = 60.0
MAX_KEY_CHARACTERS = 200
MAX_JOBS_PER_STEP = 1_000
"""How many jobs one script accepts: about 25 ms of the server's time."""
MAX_BYTES_PER_STEP = 4 * 2**20
"""How many bytes of payloads, as they are stored, one script accepts."""
MAX_JSON_BYTES_PER_STEP = 4 * MAX_BYTES_PER_STEP
"""The same of their JSON: what a step has if the ledger's format is set back while it is sent."""

JobInput: TypeAlias = Job | bytes | codec.CheckedJob
"""A job, its JSON, or a job that was decoded from JSON and checked."""


class JobEntry(msgspec.Struct, frozen=True):
    """A checked and encoded job, without the job itself: the objects of many jobs would need too much memory.

    stored: its canonical JSON, as a ledger of `stored_format` stores it; json_bytes: the length of that JSON.
    """

    job_id: str
    stored: bytes
    stored_format: int
    json_bytes: int
    digest: str
    kind: str
    limit_seconds: float
    deadline_ms: int | str
    fresh_until_ms: int | str
    card: str

    @property
    def queue(self) -> str:
        """Queue of the job."""
        return ROUTES[self.kind].queue

    @property
    def job(self) -> Job:
        """The job, decoded again."""
        return codec.decode_job(decompress(self.stored))

    @property
    def deadline(self) -> datetime | None:
        """Deadline of the job, UTC."""
        deadline = deadline_of(self.job)
        return deadline and deadline.astimezone(UTC)

    def payload(self, stored_format: int) -> bytes:
        """Return the payload as a ledger of this format stores it."""
        if stored_format == self.stored_format:
            return self.stored
        return compress(decompress(self.stored), stored_format, fast=True)

    def arguments(self, payload: bytes) -> tuple[Any, ...]:
        """Return the job's arguments of submit.lua, except what it waits for and the correlation id."""
        return (
            self.job_id,
            self.digest,
            self.kind,
            self.queue,
            payload,
            self.deadline_ms,
            self.limit_seconds,
            self.fresh_until_ms,
            self.card,
        )


def enter(job: JobInput, key: str | None, stored_format: int) -> JobEntry:
    """Check a job by decoding it, or its encoding: constructing a value in Python checks no type and no limit."""
    if key is not None and not (0 < len(key) <= MAX_KEY_CHARACTERS and key.isprintable()):
        raise codec.job_refused(f"a key has 1 to {MAX_KEY_CHARACTERS} printable characters, {key[:40]!r} has not")
    try:
        if isinstance(job, codec.CheckedJob):
            checked = job.job
        else:
            checked = codec.decode_job(job if isinstance(job, bytes) else codec.encode(job))
        deadline, fresh = (limit and limit.astimezone(UTC) for limit in (deadline_of(checked), fresh_until(checked)))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise codec.job_refused(f"the job cannot be written: {error}") from error
    payload = codec.encode_canonical(checked)  # prices 2 and 2.0 are the same content
    digest = codec.content_digest(payload)
    return JobEntry(
        job_id=digest if key is None else key,
        stored=compress(payload, stored_format, fast=True),
        stored_format=stored_format,
        json_bytes=len(payload),
        digest=digest,
        kind=kind_of(checked),
        limit_seconds=time_limit_seconds(checked),
        deadline_ms=_milliseconds(deadline),
        fresh_until_ms=_milliseconds(fresh),
        card=f"{_milliseconds(checked.event_start)} {reading_of(checked)} {checked.card_id}"
        if isinstance(checked, PredictCard)
        else "",
    )


def steps_of(entries: Iterable[JobEntry]) -> Iterator[list[JobEntry]]:
    """Divide jobs into steps that take the server a few hundredths of a second each."""
    step: list[JobEntry] = []
    stored_bytes = json_bytes = 0
    for entry in entries:
        if step and (
            len(step) == MAX_JOBS_PER_STEP
            or stored_bytes + len(entry.stored) > MAX_BYTES_PER_STEP
            or json_bytes + entry.json_bytes > MAX_JSON_BYTES_PER_STEP
        ):
            yield step
            step, stored_bytes, json_bytes = [], 0, 0
        step.append(entry)
        stored_bytes += len(entry.stored)
        json_bytes += entry.json_bytes
    if step:
        yield step


def deadline_of(job: Job) -> datetime | None:
    """Return the deadline of a job: for a card the event's start, unless `deadline` is set."""
    if job.deadline is None and isinstance(job, PredictCard):
        return job.event_start
    return job.deadline


def time_limit_seconds(job: Job) -> float:
    """Return the time limit of one attempt.

    The route's limit; for training the caller's own `max_training_time_seconds` plus a grace, so that the engine's
    typed error comes before the kill.
    """
    if isinstance(job, DataPlan | JobPart):
        return job.max_training_time_seconds + TRAINING_GRACE_SECONDS
    return ROUTES[kind_of(job)].time_limit_seconds


def _milliseconds(limit: datetime | None) -> int | str:
    return "" if limit is None else int(limit.timestamp() * 1000)
