from __future__ import annotations

import math

import pytest

from workers.pool.memory_attribution import blamed, fair
from workers.pool.scoreboard import Activity, Board, token_of
from workers.supervisor.rules import GRACE_SECONDS, Child, Verdict, overtime, strays, verdict

MINE, OTHER = token_of("mine", 1), token_of("other", 1)
RUNS_MINE = Activity(7, MINE, 100.0, 60.0)
RUNS_OTHER = Activity(7, OTHER, 100.0, 60.0)
HANDLED = Activity(7, MINE, 100.0, math.inf)
IDLE = Activity(7)

SHORT, LONG = GRACE_SECONDS - 0.1, GRACE_SECONDS + 0.1
IDLE_FOR_LONG = Child(IDLE, idle_seconds=LONG)


@pytest.mark.parametrize(
    ("child", "held_seconds", "expected"),
    [
        (Child(RUNS_MINE), LONG, Verdict.KEEP),
        (Child(RUNS_OTHER), LONG, Verdict.KEEP),  # it waits for its turn in the same claim
        (Child(IDLE, idle_seconds=SHORT), LONG, Verdict.KEEP),  # the next of its claim is about to begin
        (IDLE_FOR_LONG, SHORT, Verdict.KEEP),  # just claimed
        (IDLE_FOR_LONG, LONG, Verdict.GIVE_BACK),  # the claim's reply never came
        (None, SHORT, Verdict.KEEP),  # a child that has just come
        (None, LONG, Verdict.GIVE_BACK),  # its claim arrived after its death
        (Child(RUNS_MINE, alive=False), SHORT, Verdict.LOSE),
        (Child(RUNS_OTHER, alive=False), SHORT, Verdict.GIVE_BACK),  # its neighbour brought the child down
        (Child(IDLE, alive=False), SHORT, Verdict.GIVE_BACK),
        (Child(RUNS_MINE, alive=False, killed_for=MINE), SHORT, Verdict.LOSE),
        (Child(RUNS_MINE, alive=False, killed_for=OTHER), SHORT, Verdict.GIVE_BACK),  # it had just begun its next job
        (Child(RUNS_MINE, alive=False, killed_for=b""), SHORT, Verdict.GIVE_BACK),  # it had been idle
    ],
)
def test_what_becomes_of_a_held_job(child: Child | None, held_seconds: float, expected: Verdict) -> None:
    assert verdict(MINE, child, held_seconds=held_seconds, timed_out={OTHER}, closing=False) is expected


@pytest.mark.parametrize("child", [None, Child(RUNS_MINE), Child(RUNS_MINE, alive=False), IDLE_FOR_LONG])
def test_a_limit_goes_before_all_and_the_end_of_the_pool_next(child: Child | None) -> None:
    for closing in (False, True):
        assert verdict(MINE, child, held_seconds=0.0, timed_out={MINE}, closing=closing) is Verdict.TIME_OUT
        full = verdict(MINE, child, held_seconds=0.0, timed_out={OTHER}, overfilled={MINE}, closing=closing)
        assert full is Verdict.OVERFILL
    dead = child is not None and not child.alive
    expected = Verdict.LOSE if dead else Verdict.GIVE_BACK  # it went down by itself before it was stopped
    assert verdict(MINE, child, held_seconds=0.0, timed_out=set(), closing=True) is expected


@pytest.mark.parametrize(
    ("activity", "now_seconds", "expected"),
    [(RUNS_MINE, 160.0, False), (RUNS_MINE, 160.1, True), (IDLE, 1e9, False), (HANDLED, 1e9, False)],
)
def test_a_limit_counts_from_the_start_of_its_own_job(activity: Activity, now_seconds: float, expected: bool) -> None:
    assert overtime(activity, now_seconds) is expected


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
    activity = Activity(7, MINE, ceiling_mb=300.0, baseline_mb=50.0, job_start_mb=job_start_mb)
    assert blamed(activity, used_mb) is expected


def test_no_job_is_blamed_where_none_could_fit() -> None:
    assert not blamed(Activity(7, MINE, ceiling_mb=40.0, baseline_mb=50.0, job_start_mb=50.0), 60.0)


@pytest.mark.parametrize(("job_start_mb", "expected"), [(50.0, True), (74.0, True), (76.0, False), (400.0, False)])
def test_a_child_that_keeps_much_does_not_judge_its_job(job_start_mb: float, expected: bool) -> None:
    assert fair(Activity(7, MINE, ceiling_mb=300.0, baseline_mb=50.0, job_start_mb=job_start_mb)) is expected
    assert fair(Activity(7, MINE, baseline_mb=50.0, job_start_mb=job_start_mb))  # it has no ceiling


@pytest.mark.parametrize(
    ("child", "held", "expected"),
    [
        (Child(RUNS_MINE), {OTHER}, {(7, MINE)}),
        (Child(RUNS_MINE), {MINE}, set()),
        (Child(RUNS_MINE, alive=False), set(), set()),
        (Child(IDLE), set(), set()),
        (Child(HANDLED), set(), set()),  # it is told by itself, when it settles
    ],
)
def test_who_runs_what_the_ledger_does_not_grant(
    child: Child, held: set[bytes], expected: set[tuple[int, bytes]]
) -> None:
    assert strays([child], held) == expected


def test_a_token_names_the_claim_and_not_only_the_job() -> None:
    assert len({token_of("a", 1), token_of("a", 2), token_of("b", 1), token_of(":a", 1), token_of("1:a", 1)}) == 5


def test_the_board_shows_what_a_child_is_at_until_it_is_forgotten() -> None:
    board = Board()
    assert board.children() == []
    board.enter()
    (idle,) = board.children()
    assert idle.token == b""
    board.begin("job", 3, 60.0)
    (busy,) = board.children()
    assert (busy.pid, busy.token, busy.limit_seconds) == (idle.pid, token_of("job", 3), 60.0)
    assert busy.started_seconds > 0
    assert not busy.handled
    board.handled()
    (waits,) = board.children()
    assert (waits.token, waits.handled) == (busy.token, True)
    board.begin("next", 1, 60.0)
    assert not board.own.handled
    board.enter()  # a process has one slot
    assert len(board.children()) == 1
    board.forget(idle.pid)
    assert board.children() == []


def test_only_a_registered_child_can_write_to_the_scoreboard() -> None:
    with pytest.raises(RuntimeError, match="registered"):
        Board().begin("job", 1, 60.0)


def test_the_flags_of_a_board_are_apart_from_each_other_and_from_its_slots() -> None:
    board = Board()
    board.enter()
    assert (board.closing, board.broken) == (False, False)
    board.report_broken()
    assert (board.closing, board.broken) == (False, True)
    board.close()
    assert (board.closing, board.broken) == (True, True)
    assert len(board.children()) == 1
