from __future__ import annotations

import multiprocessing
import os

import pytest

from workers.pool.scoreboard import Board


@pytest.fixture
def board() -> Board:
    """A board with 100 MB of room, on which a job costs 40 and one child could have 500; this process is the child."""
    made = Board()
    made.enter()
    made.ready(20.0)
    with made.account() as write:
        write(100.0, 40.0, 500.0)
    return made


def test_a_booking_takes_the_price_and_gives_back_what_was_not_kept(board: Board) -> None:
    assert board.book(25.0)
    assert board.room_mb == 60.0
    (own,) = board.children()
    assert (own.baseline_mb, own.reserved_from_mb, own.reserved_mb) == (20.0, 25.0, 40.0)
    board.unbook(35.0)  # 10 MB stay with the child
    assert board.room_mb == 90.0
    board.book(35.0)
    board.unbook(30.0)  # a child that has become smaller has kept nothing; the next look sees what it gave back
    assert board.room_mb == 90.0


def test_nothing_is_booked_before_the_guard_has_looked() -> None:
    """A job would run under the ceiling that stands there then, which is none that any child could keep."""
    board = Board()
    board.enter()
    board.ready(20.0)
    assert not board.has_room
    assert not board.book(20.0)


def test_nothing_is_booked_without_room(board: Board) -> None:
    with board.account() as write:
        write(39.9, 40.0, 500.0)
    assert not board.has_room
    assert not board.book(20.0)
    assert board.room_mb == 39.9


def book_elsewhere(board: Board) -> None:
    """Let another child of the pool book the price of a job, and keep it."""

    def child() -> None:
        board.enter()
        board.ready(20.0)
        os._exit(0 if board.book(20.0) else 1)

    other = multiprocessing.get_context("fork").Process(target=child)
    other.start()
    other.join()
    assert other.exitcode == 0


def test_a_job_whose_room_the_pool_does_not_hold_keeps_nobody_waiting(board: Board) -> None:
    assert board.book(20.0)
    book_elsewhere(board)
    assert not board.book_up_to(150.0)  # 20 are left, 40 are its own and 40 the other's
    assert not board.holds_off
    board.unbook(20.0)
    assert board.has_room
    assert board.book(20.0)


def test_a_booking_is_raised_and_a_job_without_room_keeps_the_smaller_ones_waiting(board: Board) -> None:
    with board.account() as write:
        write(180.0, 40.0, 500.0)
    book_elsewhere(board)
    book_elsewhere(board)
    assert board.room_mb == 100.0
    assert board.book(20.0)
    assert board.book_up_to(30.0)  # less than is booked
    assert board.room_mb == 60.0
    assert not board.book_up_to(150.0)
    assert board.holds_off
    assert board.room_mb == 60.0
    board.unbook(20.0)
    assert board.room_mb == 100.0
    assert not board.has_room  # for the usual job there is; but one waits that needs more
    with board.account() as write:
        write(200.0, 40.0, 500.0)
    assert board.book(20.0)
    assert board.book_up_to(150.0)
    assert board.room_mb == 50.0
    assert board.has_room  # it waits no longer


def test_a_pool_with_too_many_children_or_too_little_memory_takes_no_further_job(board: Board) -> None:
    assert not board.yielding
    board.want(2, surplus=1)
    assert board.yielding
    assert not board.has_room
    assert not board.book(20.0)
    board.want(2, surplus=0)
    with board.account() as write:
        write(-1.0, 40.0, 500.0)
    assert board.yielding


def test_two_children_never_book_the_same_room(board: Board) -> None:
    """Twenty children at once, with room for two."""
    context = multiprocessing.get_context("fork")
    start, answers = context.Barrier(20), context.Queue()

    def child() -> None:
        board.enter()
        start.wait(10)
        answers.put(board.book(20.0))

    children = [context.Process(target=child) for _ in range(20)]
    for process in children:
        process.start()
    granted = [answers.get(timeout=10) for _ in children]
    for process in children:
        process.join(10)
    assert sum(granted) == 2
    assert board.room_mb == pytest.approx(20.0)


def test_the_header_is_apart_from_the_slots(board: Board) -> None:
    board.want(512, surplus=511)
    (own,) = board.children()
    assert (own.token, own.baseline_mb, own.ceiling_mb) == (b"", 20.0, 0.0)
    assert (board.wanted, board.most_mb, board.closing, board.broken) == (512, 500.0, False, False)
