"""The schedules of a ledger: put, pause, resume, run, remove, and read with their runs and changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Literal, NoReturn

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from ledger.contracts.codec import check_text, job_refused
from ledger.contracts.failures import LedgerError, NotFoundError
from ledger.contracts.lazy_decoder import convert, decode
from ledger.contracts.schedules import (
    FAILED_STATES,
    MAX_SCHEDULES,
    Schedule,
    ScheduleChange,
    ScheduleRun,
    ScheduleStatus,
)
from ledger.jobs.chains import job_ids
from ledger.jobs.outcome_reader import OutcomeReader
from ledger.schedules.cron_slots import next_slot
from ledger.schedules.run_outcomes import read_ended_run
from ledger.schedules.schedule_checks import check_schedule, jobs_of_slot
from ledger.schedules.slot_submission import MAX_CHANGES, SlotDecidedError, submit_run
from ledger.server.server import Server, to_datetime
from ledger.server.stream_ranges import stream_between

_AGAIN = 5


class UnknownScheduleError(NotFoundError):
    """There is no schedule of this name."""


class ScheduleConflictError(LedgerError):
    """A schedule has another revision than the change expected; nothing was changed."""


class UnreadableScheduleError(LedgerError):
    """A newer version has stored a schedule that this one cannot read."""


class StoredSchedule(Struct, frozen=True, kw_only=True):
    """A schedule and its state, as pools read it. `decided_ms` is the slot up to which all are decided."""

    schedule: Schedule
    revision: int
    decided_ms: int
    latest_run: str | None
    fields: Mapping[bytes, bytes]

    @property
    def decided_until(self) -> datetime:
        """The moment up to which all slots are decided."""
        return to_datetime(self.decided_ms)


class Schedules:
    """Schedules of a ledger."""

    def __init__(self, server: Server, outcomes: OutcomeReader) -> None:
        self._server = server
        self._outcomes = outcomes

    def put(
        self, schedule: Schedule, *, user: str, reason: str, expected_revision: int | None = None
    ) -> ScheduleStatus:
        """Create a schedule or replace the one of its name, and return it.

        Its slots begin now. With the same cron text, zone and pause, slots that were due before and are not submitted
        yet are submitted, with the new jobs. A schedule that is already so is left as it is.

        Parameters
        ----------
        schedule
            The whole schedule.
        user, reason
            Stored in the audit trail.
        expected_revision
            Revision that it must have, 0 for a new one: of two users who read the same one, only one can change it.

        Raises
        ------
        JobRefusedError
            A field, the cron text, the zone, a job or a text is invalid; or there are `MAX_SCHEDULES` already.
        ScheduleConflictError
            It does not have the expected revision.
        LedgerUnavailableError
            The server does not answer; putting it again is safe.
        """
        check_text("user", user)
        check_text("reason", reason)
        checked = check_schedule(schedule, self._now())
        for _ in range(_AGAIN):
            held = self.read(checked.name)
            revision = 0 if held is None else held.revision
            if expected_revision is not None and expected_revision != revision:
                raise _conflict(checked.name, revision)
            if held is not None and held.schedule == checked:
                return self._status(held, self._now())
            timing = held is None or _timing(held.schedule) != _timing(checked)
            what = "created" if held is None else "changed"
            if self._change(checked.name, checked, what, (user, reason), revision, timing=timing):
                return self.get(checked.name)
        raise LedgerError(f"schedule {checked.name} is changed by others all the time, nothing was changed: try again")

    def pause(self, name: str, *, user: str, reason: str, expected_revision: int | None = None) -> ScheduleStatus:
        """Pause a schedule: no slot is submitted, and those that pass are not caught up. Raises as `resume`."""
        return self._switch(name, (user, reason), expected_revision, paused=True)

    def resume(self, name: str, *, user: str, reason: str, expected_revision: int | None = None) -> ScheduleStatus:
        """Resume a schedule with the first slot from now on.

        Raises UnknownScheduleError, ScheduleConflictError, and JobRefusedError for an invalid text.
        """
        return self._switch(name, (user, reason), expected_revision, paused=False)

    def remove(self, name: str, *, user: str, reason: str, expected_revision: int | None = None) -> None:
        """Remove a schedule with its history. Jobs that were submitted go on. Raises as `resume`."""
        check_text("user", user)
        check_text("reason", reason)
        if expected_revision == 0 or not self._change(name, None, "removed", (user, reason), expected_revision):
            raise _conflict(name, self._require(name).revision)

    def run_now(self, name: str, *, user: str, reason: str) -> ScheduleRun:
        """Submit the jobs of a schedule now, besides its slots, also if it is paused; return the run.

        Raises
        ------
        UnknownScheduleError
            There is no schedule of this name.
        JobRefusedError
            As from `Ledger.submit`, or an invalid text; nothing was submitted.
        LedgerUnavailableError
            The server does not answer: the history shows whether it has run.
        """
        check_text("user", user)
        check_text("reason", reason)
        for _ in range(_AGAIN):
            held, now = self._require(name), self._now()
            run_id = f"{name}@{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03}Z"
            jobs = jobs_of_slot(held.schedule, now)
            run = ScheduleRun(
                run_id=run_id,
                slot=now,
                state="submitted",
                job_ids=tuple(job_ids(run_id, len(jobs))),
                decided_at=now,
                manual=True,
            )
            try:
                due_ms = milliseconds(now)
                submit_run(self._server, name, held.revision, run_id, due_ms, encode(run), jobs, audit=(user, reason))
            except SlotDecidedError:
                continue
            return run
        raise LedgerError(f"schedule {name} is changed by others all the time, nothing was submitted: try again")

    def get(self, name: str) -> ScheduleStatus:
        """Return a schedule with its next and last run. Raises UnknownScheduleError."""
        return self._status(self._require(name), self._now())

    def list(self) -> list[ScheduleStatus]:
        """Return all schedules by name, without those of a newer version, which `get` cannot read either."""
        if not (found := self.read_all()):
            return []
        now = self._now()
        return [self._status(held, now) for held in found.values()]

    def history(self, name: str, limit: int = 100) -> Sequence[ScheduleRun]:
        """Return the runs of a schedule, newest slot first. Raises UnknownScheduleError."""
        self._require(name)
        key = self._server.key("schedule", name, "order")
        run_ids = self._server.execute("ZREVRANGE", key, 0, limit - 1)
        if not run_ids:
            return []
        texts = self._server.execute("HMGET", self._server.key("schedule", name, "runs"), *run_ids)
        return [self._current(decode_run(text)) for text in texts if text is not None]

    def changes(self, limit: int = 100, name: str | None = None) -> Sequence[ScheduleChange]:
        """Return the last changes, newest first; with `name` those of one schedule among the last 10,000 of all."""
        stream = self._server.key("schedules", "changes")
        count = limit if name is None else MAX_CHANGES
        entries = self._server.execute("XREVRANGE", stream, "+", "-", "COUNT", count)
        found = (_change(place, fields) for place, fields in entries if name in (None, fields[b"name"].decode()))
        return [change for change, _ in zip(found, range(limit), strict=False)]

    def changes_between(self, since: datetime, until: datetime) -> Iterator[ScheduleChange]:
        """Yield the changes made at or after `since` and before `until`, oldest first."""
        for place, fields in stream_between(self._server, self._server.key("schedules", "changes"), since, until):
            yield _change(place.encode(), fields)

    def read(self, name: str) -> StoredSchedule | None:
        """Return a schedule as it is stored, None if there is none."""
        fields = self._server.execute("HGETALL", self._server.key("schedule", name))
        return _stored(fields)

    def revisions(self) -> dict[str, int]:
        """Return the revision of each schedule by name."""
        found = self._server.execute("HGETALL", self._server.key("schedules"))
        return {name.decode(): int(revision) for name, revision in sorted(found.items())}

    def read_all(self) -> dict[str, StoredSchedule]:
        """Return all schedules that this version can read, as they are stored, by name."""
        names = [*self.revisions()]
        if not names:
            return {}
        records = self._server.transaction(*(("HGETALL", self._server.key("schedule", name)) for name in names))
        found = {}
        for name, fields in zip(names, records, strict=True):
            with suppress(UnreadableScheduleError):
                found[name] = _stored(fields)
        return {name: held for name, held in found.items() if held is not None}

    def _switch(
        self, name: str, audit: tuple[str, str], expected_revision: int | None, *, paused: bool
    ) -> ScheduleStatus:
        check_text("user", audit[0])
        check_text("reason", audit[1])
        for _ in range(_AGAIN):
            held = self._require(name)
            if expected_revision is not None and expected_revision != held.revision:
                raise _conflict(name, held.revision)
            if held.schedule.paused == paused:
                return self._status(held, self._now())
            schedule = replace(held.schedule, paused=paused)
            what: Literal["paused", "resumed"] = "paused" if paused else "resumed"
            if self._change(name, schedule, what, audit, held.revision, timing=True):
                return self.get(name)
        raise LedgerError(f"schedule {name} is changed by others all the time, nothing was changed: try again")

    def _change(
        self,
        name: str,
        schedule: Schedule | None,
        what: str,
        audit: tuple[str, str],
        revision: int | None,
        *,
        timing: bool = False,
    ) -> bool:
        """Run schedule_change.lua; return False if the schedule has another revision by now."""
        definition = b"" if schedule is None else msgspec.json.encode(schedule)
        expected = "" if revision is None else revision
        limits = (MAX_SCHEDULES, MAX_CHANGES)
        verdict, *_ = self._server.run_script(
            "schedule_change", *audit, what, name, definition, expected, "1" if timing else "", *limits
        )
        if verdict == b"unknown":
            _unknown(name)
        if verdict == b"full":
            raise job_refused(f"there are {MAX_SCHEDULES} schedules already: remove one (cornerman schedules list)")
        return bool(verdict == b"set")

    def _status(self, held: StoredSchedule, now: datetime) -> ScheduleStatus:
        schedule, fields = held.schedule, held.fields
        following = None
        if not schedule.paused:
            following = next_slot(schedule.cron, schedule.zone, held.decided_until)
        late = 0.0 if following is None else max(0.0, (now - following).total_seconds())
        ahead = max(0.0, (held.decided_until - now).total_seconds())
        ended = decode_run(fields[b"ended"]) if b"ended" in fields else None
        latest = None
        if held.latest_run is not None:
            text = self._server.execute("HGET", self._server.key("schedule", schedule.name, "runs"), held.latest_run)
            latest = None if text is None else self._current(decode_run(text))
        return ScheduleStatus(
            schedule=schedule,
            revision=held.revision,
            created_at=to_datetime(fields[b"created"]),
            created_by=fields[b"created_by"].decode(),
            changed_at=to_datetime(fields[b"changed"]),
            changed_by=fields[b"changed_by"].decode(),
            decided_until=held.decided_until,
            next_slot=following,
            late_seconds=late,
            ahead_seconds=ahead,
            last_run=latest,
            last_failure=ended if ended is not None and ended.state in FAILED_STATES else None,
        )

    def _current(self, run: ScheduleRun) -> ScheduleRun:
        """Return a run with its end, if it has come and no pool has noted it yet."""
        if run.state != "submitted":
            return run
        return read_ended_run(self._outcomes, run, self._now()) or run

    def _require(self, name: str) -> StoredSchedule:
        return self.read(name) or _unknown(name)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._server.time(), UTC)


def milliseconds(moment: datetime) -> int:
    """Return a moment as the server stores it."""
    return round(moment.timestamp() * 1000)


def encode(run: ScheduleRun) -> bytes:
    """Encode a run."""
    return msgspec.json.encode(run)


def decode_run(text: bytes) -> ScheduleRun:
    """Decode a run."""
    return decode(text, ScheduleRun)


def _timing(schedule: Schedule) -> tuple[str, str, bool]:
    return schedule.cron, schedule.zone, schedule.paused


def _stored(fields: Mapping[bytes, bytes]) -> StoredSchedule | None:
    if b"definition" not in fields:
        return None
    try:
        schedule = decode(fields[b"definition"], Schedule)
    except msgspec.DecodeError as error:
        name = msgspec.json.decode(fields[b"definition"])["name"]
        raise UnreadableScheduleError(
            f"schedule {name} is of a newer version ({error}): upgrade this program, or remove the schedule"
        ) from error
    return StoredSchedule(
        schedule=schedule,
        revision=int(fields[b"revision"]),
        decided_ms=int(fields[b"done"]),
        latest_run=fields[b"latest"].decode() if b"latest" in fields else None,
        fields=fields,
    )


def _change(place: bytes, fields: Mapping[bytes, bytes]) -> ScheduleChange:
    def schedule(field: bytes) -> Schedule | None:
        return decode(fields[field], Schedule) if fields[field] else None

    return convert(
        {
            "place": place.decode(),
            "at": to_datetime(float(place.decode().partition("-")[0])),
            "who": fields[b"who"].decode(),
            "what": fields[b"what"].decode(),
            "name": fields[b"name"].decode(),
            "why": fields[b"why"].decode(),
            "before": schedule(b"from"),
            "after": schedule(b"to"),
        },
        ScheduleChange,
    )


def _unknown(name: str) -> NoReturn:
    raise UnknownScheduleError(f"there is no schedule {name[:80]!r}: see `cornerman schedules list`")


def _conflict(name: str, revision: int) -> ScheduleConflictError:
    state = f"has revision {revision}" if revision else "does not exist"
    return ScheduleConflictError(f"schedule {name} {state} by now, nothing was changed: read it again, then decide")
