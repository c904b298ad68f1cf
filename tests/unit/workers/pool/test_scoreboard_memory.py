from __future__ import annotations

import multiprocessing
import os

import pytest

from workers.pool.scoreboard import Scoreboard


@pytest.fixture
def scoreboard() -> Scoreboard:
    """A scoreboard with 100 MB free, on which a job costs 40 and one child 500; this process is the child."""
    made = Scoreboard()
    made.register_child()
    made.mark_ready(20.0)
    with made.accounting() as write:
        write(100.0, 40.0, 500.0)
    return made


def test_a_reservation_takes_a_typical_jobs_memory_and_returns_the_unused_part(scoreboard: Scoreboard) -> None:
    assert scoreboard.reserve(25.0)
    assert scoreboard.free_mb == 60.0
    (own,) = scoreboard.slots()
    assert (own.baseline_mb, own.reserved_from_mb, own.reserved_mb) == (20.0, 25.0, 40.0)
    scoreboard.release_reservation(35.0)  # 10 MB stay with the child
    assert scoreboard.free_mb == 90.0
    scoreboard.reserve(35.0)
    scoreboard.release_reservation(
        30.0
    )  # a child that has become smaller has kept nothing; the next look sees what it gave back
    assert scoreboard.free_mb == 90.0


def test_nothing_is_reserved_before_the_supervisors_first_tick() -> None:
    """A job would run under the ceiling that stands there then, which is none that any child could keep."""
    scoreboard = Scoreboard()
    scoreboard.register_child()
    scoreboard.mark_ready(20.0)
    assert not scoreboard.can_start_job
    assert not scoreboard.reserve(20.0)


def test_nothing_is_reserved_without_free_memory(scoreboard: Scoreboard) -> None:
    with scoreboard.accounting() as write:
        write(39.9, 40.0, 500.0)
    assert not scoreboard.can_start_job
    assert not scoreboard.reserve(20.0)
    assert scoreboard.free_mb == 39.9


def book_elsewhere(scoreboard: Scoreboard) -> None:
    """Let another child of the pool reserve the memory of a job, and keep it."""

    def child() -> None:
        scoreboard.register_child()
        scoreboard.mark_ready(20.0)
        os._exit(0 if scoreboard.reserve(20.0) else 1)

    other = multiprocessing.get_context("fork").Process(target=child)
    other.start()
    other.join()
    assert other.exitcode == 0


def test_a_job_whose_memory_the_pool_does_not_hold_keeps_no_job_waiting(scoreboard: Scoreboard) -> None:
    assert scoreboard.reserve(20.0)
    book_elsewhere(scoreboard)
    assert not scoreboard.raise_reservation(150.0)  # 20 are left, 40 are its own and 40 the other's
    assert not scoreboard.job_waits_for_memory
    scoreboard.release_reservation(20.0)
    assert scoreboard.can_start_job
    assert scoreboard.reserve(20.0)


def test_a_reservation_is_raised_and_a_job_without_memory_keeps_the_smaller_ones_waiting(
    scoreboard: Scoreboard,
) -> None:
    with scoreboard.accounting() as write:
        write(180.0, 40.0, 500.0)
    book_elsewhere(scoreboard)
    book_elsewhere(scoreboard)
    assert scoreboard.free_mb == 100.0
    assert scoreboard.reserve(20.0)
    assert scoreboard.raise_reservation(30.0)  # less than is reserved
    assert scoreboard.free_mb == 60.0
    assert not scoreboard.raise_reservation(150.0)
    assert scoreboard.job_waits_for_memory
    assert scoreboard.free_mb == 60.0
    scoreboard.release_reservation(20.0)
    assert scoreboard.free_mb == 100.0
    assert not scoreboard.can_start_job  # for the usual job there is; but one waits that needs more
    with scoreboard.accounting() as write:
        write(200.0, 40.0, 500.0)
    assert scoreboard.reserve(20.0)
    assert scoreboard.raise_reservation(150.0)
    assert scoreboard.free_mb == 50.0
    assert scoreboard.can_start_job  # it waits no longer


def test_a_pool_with_too_many_children_or_too_little_memory_takes_no_further_job(scoreboard: Scoreboard) -> None:
    assert not scoreboard.should_stop_claiming
    scoreboard.set_target_size(2, surplus=1)
    assert scoreboard.should_stop_claiming
    assert not scoreboard.can_start_job
    assert not scoreboard.reserve(20.0)
    scoreboard.set_target_size(2, surplus=0)
    with scoreboard.accounting() as write:
        write(-1.0, 40.0, 500.0)
    assert scoreboard.should_stop_claiming


@pytest.mark.slow
def test_two_children_never_reserve_the_same_memory(scoreboard: Scoreboard) -> None:
    """Twenty children at once, with memory for two."""
    context = multiprocessing.get_context("fork")
    start, answers = context.Barrier(20), context.Queue()

    def child() -> None:
        scoreboard.register_child()
        start.wait(10)
        answers.put(scoreboard.reserve(20.0))

    children = [context.Process(target=child) for _ in range(20)]
    for process in children:
        process.start()
    granted = [answers.get(timeout=10) for _ in children]
    for process in children:
        process.join(10)
    assert sum(granted) == 2
    assert scoreboard.free_mb == pytest.approx(20.0)


def test_the_header_is_apart_from_the_slots(scoreboard: Scoreboard) -> None:
    scoreboard.set_target_size(512, surplus=511)
    (own,) = scoreboard.slots()
    assert (own.token, own.baseline_mb, own.ceiling_mb) == (b"", 20.0, 0.0)
    assert (scoreboard.target_size, scoreboard.max_child_mb, scoreboard.closing, scoreboard.start_failed) == (
        512,
        500.0,
        False,
        False,
    )


def test_what_a_child_imports_for_a_job_raises_its_baseline_and_is_no_growth_of_the_job(scoreboard: Scoreboard) -> None:
    scoreboard.reserve(25.0)
    scoreboard.start_job("a", 1, 60.0, job_start_mb=26.0)
    memory = iter((27.0, 117.0))
    with scoreboard.importing(lambda: next(memory)):
        assert scoreboard.own_slot.reserved_from_mb == float("inf")
    own = scoreboard.own_slot
    assert (own.baseline_mb, own.reserved_from_mb, own.job_start_mb) == (110.0, 115.0, 116.0)
    memory = iter((130.0, 128.0))
    with scoreboard.importing(lambda: next(memory)):  # the libraries were there, and something was freed
        pass
    assert scoreboard.own_slot == own
