from __future__ import annotations

import multiprocessing
import os

import pytest

from workers.pool.scoreboard import Scoreboard


@pytest.fixture
def board() -> Scoreboard:
    """A board with 100 MB of room, on which a job costs 40 and one child could have 500; this process is the child."""
    made = Scoreboard()
    made.register_child()
    made.mark_ready(20.0)
    with made.accounting() as write:
        write(100.0, 40.0, 500.0)
    return made


def test_a_booking_takes_the_price_and_gives_back_what_was_not_kept(board: Scoreboard) -> None:
    assert board.reserve(25.0)
    assert board.free_mb == 60.0
    (own,) = board.slots()
    assert (own.baseline_mb, own.reserved_from_mb, own.reserved_mb) == (20.0, 25.0, 40.0)
    board.release_reservation(35.0)  # 10 MB stay with the child
    assert board.free_mb == 90.0
    board.reserve(35.0)
    board.release_reservation(
        30.0
    )  # a child that has become smaller has kept nothing; the next look sees what it gave back
    assert board.free_mb == 90.0


def test_nothing_is_booked_before_the_guard_has_looked() -> None:
    """A job would run under the ceiling that stands there then, which is none that any child could keep."""
    board = Scoreboard()
    board.register_child()
    board.mark_ready(20.0)
    assert not board.can_start_job
    assert not board.reserve(20.0)


def test_nothing_is_booked_without_room(board: Scoreboard) -> None:
    with board.accounting() as write:
        write(39.9, 40.0, 500.0)
    assert not board.can_start_job
    assert not board.reserve(20.0)
    assert board.free_mb == 39.9


def book_elsewhere(board: Scoreboard) -> None:
    """Let another child of the pool book the price of a job, and keep it."""

    def child() -> None:
        board.register_child()
        board.mark_ready(20.0)
        os._exit(0 if board.reserve(20.0) else 1)

    other = multiprocessing.get_context("fork").Process(target=child)
    other.start()
    other.join()
    assert other.exitcode == 0


def test_a_job_whose_room_the_pool_does_not_hold_keeps_nobody_waiting(board: Scoreboard) -> None:
    assert board.reserve(20.0)
    book_elsewhere(board)
    assert not board.raise_reservation(150.0)  # 20 are left, 40 are its own and 40 the other's
    assert not board.job_waits_for_memory
    board.release_reservation(20.0)
    assert board.can_start_job
    assert board.reserve(20.0)


def test_a_booking_is_raised_and_a_job_without_room_keeps_the_smaller_ones_waiting(board: Scoreboard) -> None:
    with board.accounting() as write:
        write(180.0, 40.0, 500.0)
    book_elsewhere(board)
    book_elsewhere(board)
    assert board.free_mb == 100.0
    assert board.reserve(20.0)
    assert board.raise_reservation(30.0)  # less than is booked
    assert board.free_mb == 60.0
    assert not board.raise_reservation(150.0)
    assert board.job_waits_for_memory
    assert board.free_mb == 60.0
    board.release_reservation(20.0)
    assert board.free_mb == 100.0
    assert not board.can_start_job  # for the usual job there is; but one waits that needs more
    with board.accounting() as write:
        write(200.0, 40.0, 500.0)
    assert board.reserve(20.0)
    assert board.raise_reservation(150.0)
    assert board.free_mb == 50.0
    assert board.can_start_job  # it waits no longer


def test_a_pool_with_too_many_children_or_too_little_memory_takes_no_further_job(board: Scoreboard) -> None:
    assert not board.should_stop_claiming
    board.set_target_size(2, surplus=1)
    assert board.should_stop_claiming
    assert not board.can_start_job
    assert not board.reserve(20.0)
    board.set_target_size(2, surplus=0)
    with board.accounting() as write:
        write(-1.0, 40.0, 500.0)
    assert board.should_stop_claiming


def test_two_children_never_book_the_same_room(board: Scoreboard) -> None:
    """Twenty children at once, with room for two."""
    context = multiprocessing.get_context("fork")
    start, answers = context.Barrier(20), context.Queue()

    def child() -> None:
        board.register_child()
        start.wait(10)
        answers.put(board.reserve(20.0))

    children = [context.Process(target=child) for _ in range(20)]
    for process in children:
        process.start()
    granted = [answers.get(timeout=10) for _ in children]
    for process in children:
        process.join(10)
    assert sum(granted) == 2
    assert board.free_mb == pytest.approx(20.0)


def test_the_header_is_apart_from_the_slots(board: Scoreboard) -> None:
    board.set_target_size(512, surplus=511)
    (own,) = board.slots()
    assert (own.token, own.baseline_mb, own.ceiling_mb) == (b"", 20.0, 0.0)
    assert (board.target_size, board.max_child_mb, board.closing, board.start_failed) == (512, 500.0, False, False)
