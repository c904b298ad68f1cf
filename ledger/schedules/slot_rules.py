"""What is to be done about the slots that are due: a pure function of the schedule, its state and the time."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec import Struct

from ledger.contracts.schedules import MAX_CATCH_UP, Schedule
from ledger.schedules.cron_slots import slots_until

SLOTS_AT_ONCE = 10 * MAX_CATCH_UP
"""How many slots are counted before a part of them is decided: some hundredths of a second."""


class SkippedSlots(Struct, frozen=True):
    """Slots that are not submitted, from the first to the last."""

    first: datetime
    last: datetime
    count: int


class DueSlots(Struct, frozen=True):
    """The decision about the slots that are due, in the order in which it is carried out.

    Attributes
    ----------
    missed
        A slot that the ledger has refused and for which it is too late now.
    skipped
        Slots that the catch-up rule leaves out.
    submitted
        Slots to submit, oldest first.
    more
        Whether there are more slots than were counted: decide again afterwards.
    """

    missed: datetime | None = None
    skipped: SkippedSlots | None = None
    submitted: tuple[datetime, ...] = ()
    more: bool = False


def decide_due_slots(schedule: Schedule, decided: datetime, refused: datetime | None, now: datetime) -> DueSlots:
    """Decide about the slots after `decided` up to `now`; `refused` is the one that the ledger has refused, if any."""
    due, complete = slots_until(schedule.cron, schedule.zone, decided, now, SLOTS_AT_ONCE)
    if not due:
        return DueSlots()
    wanted = _wanted(schedule, due, refused, now, complete=complete)
    if schedule.deadline_seconds is not None:
        oldest = now - timedelta(seconds=schedule.deadline_seconds)
        wanted = [slot for slot in wanted if slot > oldest]
    left = due[: len(due) - len(wanted)] if wanted or complete else due[: len(due) - MAX_CATCH_UP]
    missed = left.pop(0) if left and left[0] == refused else None
    return DueSlots(
        missed=missed,
        skipped=SkippedSlots(left[0], left[-1], len(left)) if left else None,
        submitted=tuple(wanted),
        more=not complete,
    )


def _wanted(
    schedule: Schedule, due: list[datetime], refused: datetime | None, now: datetime, *, complete: bool
) -> list[datetime]:
    """Return the slots that the catch-up rule submits; none while there are more to come."""
    if not complete:
        return []
    if schedule.catch_up == "all":
        return due[-schedule.max_catch_up :]
    newest = due[-1]
    on_time = now - newest <= timedelta(seconds=schedule.grace_seconds)
    return [newest] if schedule.catch_up == "last" or on_time or newest == refused else []
