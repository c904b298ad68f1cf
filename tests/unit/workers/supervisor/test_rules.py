from __future__ import annotations

import math

import pytest

from workers.pool.memory_attribution import job_caused_excess, started_near_baseline
from workers.pool.scoreboard import ChildSlot, Scoreboard, claim_token
from workers.supervisor.rules import (
    UNATTENDED_GRACE_SECONDS,
    ChildSnapshot,
    Disposition,
    decide_disposition,
    exceeds_time_limit,
    orphaned_children,
)

MINE, OTHER = claim_token("mine", 1), claim_token("other", 1)
RUNS_MINE = ChildSlot(7, MINE, 100.0, 60.0)
RUNS_OTHER = ChildSlot(7, OTHER, 100.0, 60.0)
HANDLED = ChildSlot(7, MINE, 100.0, math.inf)
IDLE = ChildSlot(7)

SHORT, LONG = UNATTENDED_GRACE_SECONDS - 0.1, UNATTENDED_GRACE_SECONDS + 0.1
IDLE_FOR_LONG = ChildSnapshot(IDLE, idle_seconds=LONG)


@pytest.mark.parametrize(
    ("child", "held_seconds", "expected"),
    [
        (ChildSnapshot(RUNS_MINE), LONG, Disposition.RENEW),
        (ChildSnapshot(RUNS_OTHER), LONG, Disposition.RENEW),  # it waits for its turn in the same claim
        (ChildSnapshot(IDLE, idle_seconds=SHORT), LONG, Disposition.RENEW),  # the next of its claim is about to begin
        (IDLE_FOR_LONG, SHORT, Disposition.RENEW),  # just claimed
        (IDLE_FOR_LONG, LONG, Disposition.RELEASE),  # the claim's reply never came
        (None, SHORT, Disposition.RENEW),  # a child that has just come
        (None, LONG, Disposition.RELEASE),  # its claim arrived after its death
        (ChildSnapshot(RUNS_MINE, alive=False), SHORT, Disposition.WORKER_LOST),
        (ChildSnapshot(RUNS_OTHER, alive=False), SHORT, Disposition.RELEASE),  # its neighbour brought the child down
        (ChildSnapshot(IDLE, alive=False), SHORT, Disposition.RELEASE),
        (ChildSnapshot(RUNS_MINE, alive=False, killed_for=MINE), SHORT, Disposition.WORKER_LOST),
        (
            ChildSnapshot(RUNS_MINE, alive=False, killed_for=OTHER),
            SHORT,
            Disposition.RELEASE,
        ),  # it had just begun its next job
        (ChildSnapshot(RUNS_MINE, alive=False, killed_for=b""), SHORT, Disposition.RELEASE),  # it had been idle
    ],
)
def test_what_becomes_of_a_held_job(child: ChildSnapshot | None, held_seconds: float, expected: Disposition) -> None:
    assert decide_disposition(MINE, child, held_seconds=held_seconds, timed_out={OTHER}, closing=False) is expected


@pytest.mark.parametrize(
    "child", [None, ChildSnapshot(RUNS_MINE), ChildSnapshot(RUNS_MINE, alive=False), IDLE_FOR_LONG]
)
def test_a_limit_goes_before_all_and_the_end_of_the_pool_next(child: ChildSnapshot | None) -> None:
    for closing in (False, True):
        assert (
            decide_disposition(MINE, child, held_seconds=0.0, timed_out={MINE}, closing=closing)
            is Disposition.TIME_LIMIT_EXCEEDED
        )
        full = decide_disposition(MINE, child, held_seconds=0.0, timed_out={OTHER}, overfilled={MINE}, closing=closing)
        assert full is Disposition.MEMORY_LIMIT_EXCEEDED
    dead = child is not None and not child.alive
    expected = Disposition.WORKER_LOST if dead else Disposition.RELEASE  # it went down by itself before it was stopped
    assert decide_disposition(MINE, child, held_seconds=0.0, timed_out=set(), closing=True) is expected


@pytest.mark.parametrize(
    ("slot", "now_seconds", "expected"),
    [(RUNS_MINE, 160.0, False), (RUNS_MINE, 160.1, True), (IDLE, 1e9, False), (HANDLED, 1e9, False)],
)
def test_a_limit_counts_from_the_start_of_its_own_job(slot: ChildSlot, now_seconds: float, expected: bool) -> None:
    assert exceeds_time_limit(slot, now_seconds) is expected


@pytest.mark.parametrize(
    ("job_start_mb", "used_mb", "expected"),
    [
        (50.0, 310.0, True),
        (60.0, 301.0, True),  # above the ceiling by less than the child kept, and yet no fresh one would do
        (250.0, 301.0, False),
        (250.0, 500.0, True),  # in a fresh child it would have been too much as well
        (400.0, 401.0, False),
    ],
)
def test_a_job_is_blamed_for_what_it_has_added(job_start_mb: float, used_mb: float, expected: bool) -> None:
    slot = ChildSlot(7, MINE, ceiling_mb=300.0, baseline_mb=50.0, job_start_mb=job_start_mb)
    assert job_caused_excess(slot, used_mb) is expected


def test_no_job_is_blamed_where_none_could_fit() -> None:
    assert not job_caused_excess(ChildSlot(7, MINE, ceiling_mb=40.0, baseline_mb=50.0, job_start_mb=50.0), 60.0)


@pytest.mark.parametrize(("job_start_mb", "expected"), [(50.0, True), (74.0, True), (76.0, False), (400.0, False)])
def test_a_child_that_keeps_much_does_not_judge_its_job(job_start_mb: float, expected: bool) -> None:
    assert (
        started_near_baseline(ChildSlot(7, MINE, ceiling_mb=300.0, baseline_mb=50.0, job_start_mb=job_start_mb))
        is expected
    )
    assert started_near_baseline(ChildSlot(7, MINE, baseline_mb=50.0, job_start_mb=job_start_mb))  # it has no ceiling


@pytest.mark.parametrize(
    ("child", "held", "expected"),
    [
        (ChildSnapshot(RUNS_MINE), {OTHER}, {(7, MINE)}),
        (ChildSnapshot(RUNS_MINE), {MINE}, set()),
        (ChildSnapshot(RUNS_MINE, alive=False), set(), set()),
        (ChildSnapshot(IDLE), set(), set()),
        (ChildSnapshot(HANDLED), set(), set()),  # it is told by itself, when it settles
    ],
)
def test_who_runs_what_the_ledger_does_not_grant(
    child: ChildSnapshot, held: set[bytes], expected: set[tuple[int, bytes]]
) -> None:
    assert orphaned_children([child], held) == expected


def test_a_token_names_the_claim_and_not_only_the_job() -> None:
    assert (
        len(
            {claim_token("a", 1), claim_token("a", 2), claim_token("b", 1), claim_token(":a", 1), claim_token("1:a", 1)}
        )
        == 5
    )


def test_the_board_shows_what_a_child_is_at_until_it_is_forgotten() -> None:
    scoreboard = Scoreboard()
    assert scoreboard.slots() == []
    scoreboard.register_child()
    (idle,) = scoreboard.slots()
    assert idle.token == b""
    scoreboard.start_job("job", 3, 60.0)
    (busy,) = scoreboard.slots()
    assert (busy.pid, busy.token, busy.limit_seconds) == (idle.pid, claim_token("job", 3), 60.0)
    assert busy.started_seconds > 0
    assert not busy.handler_ended
    scoreboard.mark_handler_ended()
    (waits,) = scoreboard.slots()
    assert (waits.token, waits.handler_ended) == (busy.token, True)
    scoreboard.start_job("next", 1, 60.0)
    assert not scoreboard.own_slot.handler_ended
    scoreboard.register_child()  # a process has one slot
    assert len(scoreboard.slots()) == 1
    scoreboard.free_slot(idle.pid)
    assert scoreboard.slots() == []


def test_only_a_registered_child_can_write_to_the_scoreboard() -> None:
    with pytest.raises(RuntimeError, match="registered"):
        Scoreboard().start_job("job", 1, 60.0)


def test_the_flags_of_a_board_are_apart_from_each_other_and_from_its_slots() -> None:
    scoreboard = Scoreboard()
    scoreboard.register_child()
    assert (scoreboard.closing, scoreboard.start_failed) == (False, False)
    scoreboard.report_start_failure()
    assert (scoreboard.closing, scoreboard.start_failed) == (False, True)
    scoreboard.start_closing()
    assert (scoreboard.closing, scoreboard.start_failed) == (True, True)
    assert len(scoreboard.slots()) == 1
