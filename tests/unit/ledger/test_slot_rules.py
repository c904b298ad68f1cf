from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from ledger.contracts.jobs import CheckHealth
from ledger.contracts.schedules import CatchUp, Schedule
from ledger.schedules.slot_rules import SLOTS_AT_ONCE, DueSlots, SkippedSlots, decide_due_slots

START = datetime(2026, 6, 1, tzinfo=UTC)
HOURLY = Schedule(name="s", cron="0 * * * *", jobs=(CheckHealth(),))
NOW = START + timedelta(hours=5, minutes=1)


def at(hour: int) -> datetime:
    return START + timedelta(hours=hour)


def test_nothing_is_due_before_the_next_slot() -> None:
    assert decide_due_slots(HOURLY, at(5), None, NOW) == DueSlots()
    assert decide_due_slots(HOURLY, at(9), None, NOW) == DueSlots()  # the clock was set back


@pytest.mark.parametrize(
    ("catch_up", "grace_seconds", "first_submitted"),
    [("skip", 60.0, 5), ("skip", 59.0, 6), ("last", 1.0, 5), ("all", 1.0, 3)],
)
def test_the_rule_chooses_the_newest_slots(catch_up: CatchUp, grace_seconds: float, first_submitted: int) -> None:
    schedule = replace(HOURLY, catch_up=catch_up, grace_seconds=grace_seconds, max_catch_up=3)
    decision = decide_due_slots(schedule, at(0), None, NOW)
    assert decision.submitted == tuple(map(at, range(first_submitted, 6)))
    assert decision.skipped == SkippedSlots(at(1), at(first_submitted - 1), first_submitted - 1)


@pytest.mark.parametrize("catch_up", ["skip", "last"])
def test_a_refused_slot_is_tried_until_the_next_one_and_then_missed(catch_up: CatchUp) -> None:
    schedule = replace(HOURLY, catch_up=catch_up)
    late = at(5) + timedelta(minutes=59)
    assert decide_due_slots(schedule, at(4), at(5), late) == DueSlots(submitted=(at(5),))
    decision = decide_due_slots(schedule, at(4), at(5), at(6))
    assert (decision.missed, decision.skipped, decision.submitted) == (at(5), None, (at(6),))


def test_all_goes_on_trying_a_refused_slot_within_its_limit() -> None:
    schedule = replace(HOURLY, catch_up="all", max_catch_up=2)
    assert decide_due_slots(schedule, at(4), at(5), at(6)).submitted == (at(5), at(6))
    decision = decide_due_slots(schedule, at(4), at(5), at(8))
    assert (decision.missed, decision.skipped) == (at(5), SkippedSlots(at(6), at(6), 1))
    assert decision.submitted == (at(7), at(8))


def test_slots_whose_deadline_has_passed_are_left_out() -> None:
    schedule = replace(HOURLY, catch_up="all", deadline_seconds=2 * 3600.0)
    assert decide_due_slots(schedule, at(0), None, NOW).submitted == (at(4), at(5))
    assert decide_due_slots(replace(schedule, catch_up="last", deadline_seconds=30.0), at(0), None, NOW).submitted == ()


@pytest.mark.parametrize(("catch_up", "wanted"), [("skip", 1), ("last", 1), ("all", 700)])
def test_a_long_outage_is_decided_in_parts(catch_up: CatchUp, wanted: int) -> None:
    schedule = replace(HOURLY, cron="* * * * * *", catch_up=catch_up, max_catch_up=700)
    slots = 2 * SLOTS_AT_ONCE + 5
    decided, now = START, START + timedelta(seconds=slots)
    skipped = 0
    while (decision := decide_due_slots(schedule, decided, None, now)).more:
        assert decision.submitted == ()
        assert decision.skipped is not None
        skipped, decided = skipped + decision.skipped.count, decision.skipped.last
    skipped += decision.skipped.count if decision.skipped else 0
    assert (skipped, len(decision.submitted), decision.submitted[-1]) == (slots - wanted, wanted, now)
