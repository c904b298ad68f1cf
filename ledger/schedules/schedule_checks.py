"""Checks of a schedule before it is stored: the cron text, the zone, and the jobs with every field of their JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from ledger.contracts import codec
from ledger.contracts.codec import job_refused
from ledger.contracts.failures import FailureCode, JobRefusedError
from ledger.contracts.jobs import MAX_PAYLOAD_BYTES, Job, PredictCard, kind_of
from ledger.contracts.lazy_decoder import decode
from ledger.contracts.schedules import Schedule
from ledger.schedules.cron_slots import check_cron, next_slot

_DEEP = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def decode_schedule(payload: bytes, name: str | None = None) -> Schedule:
    """Decode a schedule from JSON, in which no field may be unknown; `name` is used if the JSON has none.

    Raises
    ------
    JobRefusedError
        The JSON cannot be read, a field has a wrong type or range, or a field of a job is unknown. A check of the
        content follows in `check_schedule`.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise job_refused(f"the schedule has {len(payload):,} bytes, the limit is {MAX_PAYLOAD_BYTES:,}")
    try:
        raw = msgspec.json.decode(payload)
        if name is not None and isinstance(raw, dict):
            if raw.setdefault("name", name) != name:
                raise job_refused(f"the schedule is named {str(raw['name'])[:80]!r}, not {name[:80]!r}", field="name")
            payload = msgspec.json.encode(raw)
        schedule = decode(payload, Schedule)
    except _DEEP as error:
        raise job_refused(f"the schedule cannot be read: {error}") from error
    if unknown := sorted(_unknown_fields(raw["jobs"], schedule.jobs, "jobs")):
        raise job_refused(f"the schedule has unknown fields: {', '.join(unknown)}", fields=unknown)
    return schedule


def check_schedule(schedule: Schedule, now: datetime) -> Schedule:
    """Check a schedule and return it as it is stored. `now` is the server's time.

    Raises
    ------
    JobRefusedError
        A field has a wrong type or range; an invalid cron text or zone; a job that could not be submitted at the next
        slot, with its number.
    """
    try:  # a schedule that was made in Python
        written = msgspec.json.encode(schedule)
        schedule = decode(written, Schedule)
    except (*_DEEP, TypeError) as error:
        raise job_refused(f"the schedule is invalid: {error}") from error
    if len(written) > MAX_PAYLOAD_BYTES:
        raise job_refused(f"the schedule has {len(written):,} bytes, the limit is {MAX_PAYLOAD_BYTES:,}")
    if re.search(r"\s", schedule.zone) or not schedule.cron.isprintable():
        raise job_refused("`cron` and `zone` are texts of one line", field="cron")
    check_cron(schedule.cron, schedule.zone)
    first = next_slot(schedule.cron, schedule.zone, now) or now
    for number, job in enumerate(schedule.jobs, 1):
        where = f"job {number} ({kind_of(job)})"
        try:
            codec.check_job(job)
        except JobRefusedError as refused:
            failure = refused.failure
            raise job_refused(f"{where}: {failure.message}", failure.code, **failure.details) from refused
        if job.deadline is not None and schedule.deadline_seconds is not None:
            raise job_refused(
                f"{where}: has a `deadline`, and the schedule has `deadline_seconds`: leave one of them out"
            )
        over = job.deadline or (job.event_start if isinstance(job, PredictCard) else None)
        if over is not None and schedule.deadline_seconds is None and over <= first:
            raise job_refused(
                f"{where}: its deadline {over.isoformat()} is over at the next slot {first.isoformat()}: give the "
                "schedule `deadline_seconds`, or leave the deadline out",
                FailureCode.EXPIRED,
            )
    return schedule


def jobs_of_slot(schedule: Schedule, slot: datetime) -> tuple[Job, ...]:
    """Return the jobs of a slot: the same for every pool that submits them."""
    if schedule.deadline_seconds is None:
        return schedule.jobs
    deadline = slot + timedelta(seconds=schedule.deadline_seconds)
    return tuple(msgspec.structs.replace(job, deadline=deadline) for job in schedule.jobs)


def _unknown_fields(raw: Any, value: Any, path: str) -> Iterator[str]:
    """Yield the fields of the JSON that the decoded value does not have."""
    if isinstance(value, Struct) and isinstance(raw, Mapping):
        fields = {field.encode_name: field.name for field in msgspec.structs.fields(value)}
        for name in raw:
            if name in fields:
                yield from _unknown_fields(raw[name], getattr(value, fields[name]), f"{path}.{name}")
            elif name != value.__struct_config__.tag_field:
                yield f"{path}.{name}"
    elif isinstance(value, dict) and isinstance(raw, Mapping):
        for name in raw:
            yield from _unknown_fields(raw[name], value.get(name), f"{path}.{name}")
    elif isinstance(value, list | tuple) and isinstance(raw, list):
        for index, (part, item) in enumerate(zip(raw, value, strict=False)):
            yield from _unknown_fields(part, item, f"{path}[{index}]")
