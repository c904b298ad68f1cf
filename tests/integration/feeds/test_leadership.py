"""The thread that keeps the lead of a feed: how soon it asks, and whom it wakes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from ledger.ledger import Ledger, LedgerSettings
from producer.feed_runner.leadership import LOOK_SECONDS, Leadership

LONG_SECONDS = 60.0
SOON_SECONDS = 4.0
"""Less than `LOOK_SECONDS`, and than a quarter of the long lease."""
Start = Callable[..., Leadership]


@pytest.fixture
def start(ledger_settings: LedgerSettings) -> Iterator[Start]:
    with ExitStack() as stack:

        def begin(runner: str, lease_seconds: float = LONG_SECONDS) -> Leadership:
            ledger = Ledger.connect(ledger_settings)
            stack.callback(ledger.close)
            leadership = Leadership(
                ledger,
                name="ufc",
                runner=runner,
                source="a test",
                lease_seconds=lease_seconds,
                on_change=lambda _leads: None,
                on_error=lambda _error: None,
            )
            leadership.start()
            stack.callback(leadership.stop)
            return leadership

        yield begin


def test_a_loop_that_waits_is_woken_by_the_lead(start: Start) -> None:
    started = time.monotonic()
    leadership = start("one")
    leadership.wait()
    assert leadership.fence == "feed:ufc 1"
    assert time.monotonic() - started < LOOK_SECONDS


def test_a_leader_whose_write_was_refused_asks_at_once(start: Start, until: Callable[..., None]) -> None:
    leadership = start("one")
    until(lambda: leadership.fence is not None)
    leadership.wait()
    leadership.lost()
    leadership.wait()
    assert leadership.fence == "feed:ufc 1"  # nobody else had asked


def test_a_leader_that_ends_does_so_at_once_and_hands_over(start: Start, until: Callable[..., None]) -> None:
    leader = start("one")
    until(lambda: leader.fence is not None)
    standby = start("two")
    until(lambda: standby.stands_by)
    started = time.monotonic()
    leader.stop()
    assert time.monotonic() - started < SOON_SECONDS
    until(lambda: standby.fence == "feed:ufc 2", SOON_SECONDS)


def test_a_lead_is_renewed_before_it_ends(start: Start, ledger: Ledger, until: Callable[..., None]) -> None:
    def ends() -> int:
        return int(ledger.server.execute("HGET", ledger.server.key("feed", "ufc"), "until"))

    leader = start("one", 2.0)
    until(lambda: leader.fence is not None)
    first = ends()
    until(lambda: ends() > first + 2_000)
    assert leader.fence == "feed:ufc 1"
