from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from ledger.contracts.jobs import ReviewModel
from ledger.contracts.schedules import Schedule, ScheduleRun
from producer.season.count import Count
from producer.season.slot_count import count_slots

BEGIN = datetime(2026, 11, 30, 12, 0, 1, tzinfo=UTC)
END = BEGIN + timedelta(seconds=59)
SCHEDULE = Schedule(name="review", cron="*/10 * * * * *", jobs=(ReviewModel(),), catch_up="all")
SLOTS = [BEGIN.replace(second=second) for second in range(10, 60, 10)] + [END]


def _run(slot: datetime, **changes: Any) -> ScheduleRun:
    run_id = f"review@{slot:%H%M%S}"
    given = {"run_id": run_id, "slot": slot, "state": "succeeded", "job_ids": (run_id,), "decided_at": slot}
    return ScheduleRun(**{**given, **changes})


RUNS = [_run(slot) for slot in SLOTS]
JOBS = {run.run_id: 1 for run in RUNS}


def _count(runs: Sequence[ScheduleRun], jobs: dict[str, int] | None = None) -> Count:
    return count_slots(SCHEDULE, BEGIN, END, runs, JOBS if jobs is None else jobs)


def test_right_runs_are_right_in_any_order_and_with_runs_by_hand() -> None:
    by_hand = _run(BEGIN.replace(second=13), manual=True)
    assert _count([by_hand, *reversed(RUNS)]) == Count(expected=6)


@pytest.mark.parametrize("left_out", range(6))
def test_each_lost_slot_is_found(left_out: int) -> None:
    assert len(_count(RUNS[:left_out] + RUNS[left_out + 1 :]).lost) == 1


@pytest.mark.parametrize("again", range(6))
def test_each_doubled_slot_is_found(again: int) -> None:
    assert len(_count([*RUNS, RUNS[again]]).doubled) == 1


def test_slots_that_were_skipped_together_are_covered_by_one_run_if_the_rule_allows_it() -> None:
    skipped = ScheduleRun(
        run_id="review@skipped", slot=SLOTS[1], through=SLOTS[3], slots=3, state="skipped", decided_at=SLOTS[4]
    )
    runs = [RUNS[0], skipped, *RUNS[4:]]
    rule = msgspec.structs.replace(SCHEDULE, catch_up="last")
    assert count_slots(rule, BEGIN, END, runs, JOBS) == Count(expected=6)
    assert len(_count(runs).wrong) == 1
    assert len(count_slots(rule, BEGIN, END, [*runs, RUNS[2]], JOBS).doubled) == 1


def test_a_run_without_an_end_or_an_outcome_is_found() -> None:
    assert len(_count([msgspec.structs.replace(RUNS[0], state="submitted"), *RUNS[1:]]).wrong) == 1
    assert len(_count([msgspec.structs.replace(RUNS[0], state="missed"), *RUNS[1:]]).wrong) == 1
    assert len(_count(RUNS, {**JOBS, RUNS[2].run_id: 0}).lost) == 1
    assert len(_count(RUNS, {**JOBS, RUNS[2].run_id: 2}).doubled) == 1


def test_a_run_of_no_slot_is_found() -> None:
    assert len(_count([*RUNS, _run(BEGIN.replace(second=13))], {**JOBS, "review@120013": 1}).wrong) == 1


def test_slots_are_those_of_the_scheduler_when_the_clocks_change() -> None:
    before, after = datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 3, 30, 12, tzinfo=UTC)
    schedule = msgspec.structs.replace(SCHEDULE, cron="30 2 * * *", zone="Europe/Berlin")
    skipped_hour = datetime(2026, 3, 29, 1, tzinfo=UTC)  # half past two is skipped: the slot is at three
    runs = [_run(skipped_hour), _run(datetime(2026, 3, 30, 0, 30, tzinfo=UTC))]
    jobs = {job_id: 1 for run in runs for job_id in run.job_ids}
    assert count_slots(schedule, before, after, runs, jobs) == Count(expected=2)
