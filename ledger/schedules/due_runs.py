"""What each of any number of pools does for the schedules: submit what is due, and note how runs have ended."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from datetime import UTC, datetime

from msgspec import Struct
from msgspec.structs import replace

from ledger.contracts.failures import JobRefusedError, LedgerUnavailableError, PermissionDeniedError
from ledger.contracts.schedules import MAX_RUNS, ScheduleRun
from ledger.jobs.chains import job_ids
from ledger.jobs.outcome_reader import OutcomeReader
from ledger.schedules.cron_slots import next_slot
from ledger.schedules.run_outcomes import read_ended_run
from ledger.schedules.schedule_checks import jobs_of_slot
from ledger.schedules.schedule_store import (
    Schedules,
    StoredSchedule,
    decode_run,
    encode,
    milliseconds,
)
from ledger.schedules.slot_rules import SkippedSlots, decide_due_slots
from ledger.schedules.slot_submission import SlotDecidedError, submit_run
from ledger.server.server import Server

MAX_OPEN_LOOKED_AT = 200
"""Of how many runs the outcome is looked up at once."""


class ScheduleLook(Struct, frozen=True):
    """The runs that a look has decided, and how long until the next slot, None if there is none.

    `errors` are those of single schedules by name, each reported once; the others are not affected.
    """

    runs: tuple[ScheduleRun, ...] = ()
    wait_seconds: float | None = None
    errors: dict[str, str] = {}


class _Known(Struct, frozen=True):
    revision: int
    following: datetime | None


class DueRuns:
    """The schedules as one pool sees them. Not for several threads."""

    def __init__(self, server: Server, schedules: Schedules, outcomes: OutcomeReader) -> None:
        self._server = server
        self._schedules = schedules
        self._outcomes = outcomes
        self._known: dict[str, _Known] = {}
        self._looked_up = b""
        self._errors: dict[str, str] = {}

    def look(self) -> ScheduleLook:
        """Decide what is due, and return how long until the next slot.

        A slot that the ledger refuses for now is due at the next look. Raises LedgerUnavailableError.
        """
        revisions, now = self._schedules.revisions(), self._now()
        runs: list[ScheduleRun] = []
        errors: dict[str, str] = {}
        for name in self._known.keys() - revisions.keys():
            del self._known[name]
        for name, revision in revisions.items():
            known = self._known.get(name)
            if known is None or known.revision != revision or (known.following is not None and known.following <= now):
                try:
                    runs += self._decide(name)
                    self._errors.pop(name, None)
                except (LedgerUnavailableError, PermissionDeniedError):
                    raise
                except Exception as error:  # noqa: BLE001 - also a defect: the other schedules have to go on
                    text = f"{type(error).__name__}: {error}"
                    if self._errors.get(name) != text:
                        self._errors[name] = errors[name] = text
        later = [known.following for known in self._known.values() if known.following is not None]
        if runs:
            now = self._now()
        wait_seconds = (min(later) - now).total_seconds() if later else None
        return ScheduleLook(tuple(runs), None if wait_seconds is None else max(0.0, wait_seconds), errors)

    def note_outcomes(self) -> list[ScheduleRun]:
        """Note the outcomes of submitted runs that have ended, and return those. Raises LedgerUnavailableError."""
        found = self._server.execute("HGETALL", self._server.key("schedules", "open"))
        run_ids = sorted(found)
        start = bisect_right(run_ids, self._looked_up)  # many that go on must not hide those behind them
        chosen = (run_ids[start:] + run_ids[:start])[:MAX_OPEN_LOOKED_AT]
        self._looked_up = chosen[-1] if chosen else b""
        by_name: dict[str, list[bytes]] = defaultdict(list)
        for run_id in chosen:
            by_name[found[run_id].decode()].append(run_id)
        ended = []
        for name, ids in by_name.items():
            texts = self._server.execute("HMGET", self._server.key("schedule", name, "runs"), *ids)
            for run_id, text in zip(ids, texts, strict=True):
                if text is None:  # the history no longer has it
                    self._server.execute("HDEL", self._server.key("schedules", "open"), run_id)
                    continue
                run = read_ended_run(self._outcomes, decode_run(text), self._now())
                if run is not None and self._server.run_script(
                    "schedule_end", name, run_id, milliseconds(run.slot), encode(run)
                ):
                    ended.append(run)
        return ended

    def _decide(self, name: str) -> list[ScheduleRun]:
        """Decide the due slots of a schedule; return the runs that were decided here."""
        done: list[ScheduleRun] = []
        while True:
            now = self._now()  # the clock may have been set back
            held = self._schedules.read(name)
            if held is None:
                self._known.pop(name, None)
                return done
            if held.schedule.paused:
                self._known[name] = _Known(held.revision, None)
                return done
            runs, again = self._decide_once(held, now)
            done += runs
            if not again:
                break
        return done

    def _decide_once(self, held: StoredSchedule, now: datetime) -> tuple[list[ScheduleRun], bool]:
        """Carry out one decision; return its runs, and whether to read the schedule again and decide the rest."""
        schedule, name = held.schedule, held.schedule.name
        refused = self._refused(held)
        decision = decide_due_slots(schedule, held.decided_until, None if refused is None else refused.slot, now)
        done: list[ScheduleRun] = []
        if refused is not None and decision.missed is not None:
            run = replace(refused, state="missed", decided_at=now, ended_at=now)
            return ([run], True) if self._note(held, run, run.slot, ended=True) else ([], True)
        if decision.skipped is not None:
            run = _skipped(name, decision.skipped, now)
            return ([run], True) if self._note(held, run, decision.skipped.last) else ([], True)
        for slot in decision.submitted:
            tries = refused.tries if refused is not None and refused.slot == slot else 0
            decided = self._submit(held, slot, tries, now)
            if decided is None:
                return done, True
            done.append(decided)
            if decided.state != "submitted":
                return done, decided.state != "refused"
            held = replace(held, decided_ms=milliseconds(slot))
        self._known[name] = _Known(held.revision, next_slot(schedule.cron, schedule.zone, held.decided_until))
        return done, decision.more

    def _submit(self, held: StoredSchedule, slot: datetime, tries: int, now: datetime) -> ScheduleRun | None:
        """Submit a slot, or note why it cannot be; None if another pool was faster."""
        schedule, name = held.schedule, held.schedule.name
        run_id = run_id_of(name, slot)
        jobs = jobs_of_slot(schedule, slot)
        run = ScheduleRun(
            run_id=run_id,
            slot=slot,
            state="submitted",
            job_ids=tuple(job_ids(run_id, len(jobs))),
            decided_at=now,
            tries=tries,
        )
        try:
            submit_run(self._server, name, held.revision, run_id, milliseconds(slot), encode(run), jobs)
        except SlotDecidedError:
            return None
        except JobRefusedError as error:
            failure = error.failure
            again = failure.retryable or "retry_after_seconds" in failure.details
            run = replace(
                run,
                state="refused" if again else "failed",
                job_ids=(),
                ended_at=None if again else now,
                tries=tries + 1,
                code=failure.code.value,
                message=failure.message,
            )
            until = held.decided_until if again else slot
            return run if self._note(held, run, until, ended=not again) else None
        return run

    def _note(self, held: StoredSchedule, run: ScheduleRun, until: datetime, *, ended: bool = False) -> bool:
        """Note a run that was not submitted, and decide all slots up to `until`; return False if another was faster."""
        arguments = (held.revision, held.decided_ms, milliseconds(until), run.run_id, milliseconds(run.slot))
        return bool(
            self._server.run_script(
                "schedule_decide", held.schedule.name, *arguments, encode(run), MAX_RUNS, "1" if ended else ""
            )
        )

    def _refused(self, held: StoredSchedule) -> ScheduleRun | None:
        """Return the run of the slot that the ledger has refused and that is not decided yet."""
        if held.latest_run is None:
            return None
        first = next_slot(held.schedule.cron, held.schedule.zone, held.decided_until)
        if first is None:
            return None
        key = self._server.key("schedule", held.schedule.name, "runs")
        text = self._server.execute("HGET", key, run_id_of(held.schedule.name, first))
        run = None if text is None else decode_run(text)
        return run if run is not None and run.state == "refused" else None

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._server.time(), UTC)


def run_id_of(name: str, slot: datetime) -> str:
    """Return the id of the run of a slot."""
    return f"{name}@{slot.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _skipped(name: str, slots: SkippedSlots, now: datetime) -> ScheduleRun:
    return ScheduleRun(
        run_id=run_id_of(name, slots.first),
        slot=slots.first,
        state="skipped",
        decided_at=now,
        ended_at=now,
        slots=slots.count,
        through=slots.last,
    )
