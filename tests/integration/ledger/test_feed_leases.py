"""The lead of a feed, and the writes of those who have lost it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ledger.contracts.failures import JobRefusedError, LeadershipLostError
from ledger.contracts.feeds import FeedFailure, FeedState, RetrievalRecord
from ledger.contracts.jobs import CheckHealth
from ledger.feeds.feed_leases import FeedLease
from ledger.feeds.feed_store import DumpMark, UnknownFeedError
from ledger.feeds.listed_fights import ListedFight
from ledger.ledger import Ledger, LedgerSettings
from ledger.server.embedded_server import EmbeddedServer

NOW = datetime(2026, 11, 21, 22, 0, tzinfo=UTC)
LEASE_SECONDS = 0.2
LONG_SECONDS = 60.0
Join = Callable[..., FeedLease]


@pytest.fixture
def join(ledger: Ledger) -> Join:
    def ask(runner: str, lease_seconds: float = LONG_SECONDS) -> FeedLease:
        return ledger.feeds.leases.join("ufc", runner, source="a folder", lease_seconds=lease_seconds)

    return ask


@pytest.fixture
def writer(ledger_settings: LedgerSettings) -> Iterator[Ledger]:
    opened = Ledger.connect(ledger_settings)
    yield opened
    opened.close()


def record(sha256: str = "a" * 64) -> RetrievalRecord:
    return RetrievalRecord(read_at=NOW, sha256=sha256, payload_bytes=10, quotes=4)


def test_one_leads_and_the_others_stand_by(join: Join, ledger: Ledger) -> None:
    first, second, again = join("one"), join("two"), join("one")
    assert (first.leads, second.leads, again.leads) == (True, False, True)
    assert (second.leader, first.fence, again.fence) == ("one", "feed:ufc 1", "feed:ufc 1")
    assert 0 < second.left_seconds <= LONG_SECONDS
    status = ledger.feeds.status("ufc")
    assert (status.leader, status.standbys, status.source, status.silent_polls) == ("one", ("two",), "a folder", 0.0)


def test_who_leaves_hands_over_at_once(join: Join, ledger: Ledger) -> None:
    join("one")
    join("two")
    assert not ledger.feeds.leases.leave("ufc", "two").leads
    assert ledger.feeds.status("ufc").leader == "one"  # a standby that leaves ends nobody's lead
    assert ledger.feeds.leases.leave("ufc", "one").leader == ""
    assert ledger.feeds.status("ufc").leader is None
    lease = join("two")
    assert (lease.leads, lease.fence) == (True, "feed:ufc 2")


def test_after_the_lease_another_one_leads_and_the_first_writes_no_more(
    join: Join, ledger: Ledger, writer: Ledger, until: Callable[..., None]
) -> None:
    """Whatever script it runs, of any part of the ledger."""
    writer.server.fence = join("one", LEASE_SECONDS).fence
    writer.feeds.end_poll("ufc", FeedState(), retrieval=record(), totals={"quotes": 4})
    until(lambda: join("two", LEASE_SECONDS).leads)
    before = ledger.feeds.status("ufc")
    listed = ListedFight(id="f", bout=("ann", "bea"), start=NOW)
    with pytest.raises(LeadershipLostError):
        writer.feeds.begin_poll("ufc", FeedState(tier="near"))
    with pytest.raises(LeadershipLostError):
        writer.feeds.end_poll("ufc", FeedState(tier="near"), retrieval=record(), totals={"quotes": 4})
    with pytest.raises(LeadershipLostError):
        writer.feeds.add_listed_fights([listed])
    with pytest.raises(LeadershipLostError):
        writer.submit(CheckHealth(nonce="late"), key="late")
    after = ledger.feeds.status("ufc")
    assert (after.state, after.totals, after.attempts) == (before.state, {"quotes": 4}, before.attempts)
    assert len(ledger.feeds.retrievals("ufc")) == 1
    assert ledger.feeds.add_listed_fights([]) == []
    assert ledger.status("late").state == "unknown"


def test_a_leader_that_was_late_but_not_replaced_goes_on(
    join: Join, writer: Ledger, ledger: Ledger, until: Callable[..., None]
) -> None:
    writer.server.fence = join("one", LEASE_SECONDS).fence
    until(lambda: ledger.feeds.status("ufc").leader is None)
    assert writer.feeds.begin_poll("ufc", FeedState()) == 1
    assert join("one").fence == writer.server.fence


def test_each_poll_leaves_its_state_totals_and_retrieval(join: Join, ledger: Ledger) -> None:
    join("one")
    failure = FeedFailure(reason="timeout", message="no answer", at=NOW)
    assert ledger.feeds.begin_poll("ufc", FeedState()) == 1
    assert ledger.feeds.begin_poll("ufc", FeedState()) == 2
    assert ledger.feeds.status("ufc").attempts == 2
    ledger.feeds.end_poll("ufc", FeedState(failure=failure), totals={"failures.timeout": 1})
    ledger.feeds.end_poll("ufc", FeedState(last_success=NOW), retrieval=record("b" * 64), totals={"quotes": 4})
    status = ledger.feeds.status("ufc")
    assert (status.attempts, status.state.failure, status.state.last_success) == (0, None, NOW)
    assert status.totals == {"failures.timeout": 1, "quotes": 4}
    assert ledger.feeds.retrievals("ufc") == [record("b" * 64)]


def test_dumps_are_marked_as_read(join: Join, ledger: Ledger) -> None:
    join("one")
    mark = DumpMark(NOW, "c" * 64)
    for _ in range(2):
        ledger.feeds.end_poll("ufc", FeedState(), mark=mark, totals={})
    assert ledger.feeds.marks("ufc") == {str(mark)}


def test_a_feed_is_silent_without_a_success_and_without_a_leader(
    join: Join, ledger: Ledger, until: Callable[..., None]
) -> None:
    join("one", LEASE_SECONDS)
    long_ago = datetime.now(UTC) - timedelta(minutes=10)
    ledger.feeds.end_poll("ufc", FeedState(last_success=long_ago, interval_seconds=60.0), totals={})
    assert 9.9 < ledger.feeds.status("ufc").silent_polls < 11
    ledger.feeds.end_poll("ufc", FeedState(last_success=datetime.now(UTC), interval_seconds=1800.0), totals={})
    until(lambda: ledger.feeds.status("ufc").silent_polls > 3)  # leases without a leader
    ledger.feeds.end_poll("ufc", FeedState(done=True), totals={})
    assert ledger.feeds.status("ufc").silent_polls == 0


def test_a_feed_is_forgotten_once_nobody_leads_it(join: Join, ledger: Ledger) -> None:
    join("one")
    ledger.feeds.end_poll("ufc", FeedState(), retrieval=record(), mark=DumpMark(NOW, "d" * 64), totals={"quotes": 4})
    with pytest.raises(JobRefusedError, match="one runs the feed"):
        ledger.feeds.remove("ufc")
    ledger.feeds.leases.leave("ufc", "one")
    ledger.feeds.remove("ufc")
    assert (ledger.feeds.all(), ledger.feeds.marks("ufc"), ledger.feeds.retrievals("ufc")) == ([], set(), [])
    with pytest.raises(UnknownFeedError, match="no feed is registered as 'ufc'; registered: none"):
        ledger.feeds.remove("ufc")


def test_the_lead_is_kept_and_failures_are_noted_on_a_full_server(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path) as server:
        full = Ledger.connect(LedgerSettings(redis_url=server.url))
        full.feeds.leases.join("ufc", "one", source="a test", lease_seconds=LONG_SECONDS)
        full.server.execute("CONFIG", "SET", "maxmemory", 1)
        try:
            assert full.feeds.leases.join("ufc", "one", source="a test", lease_seconds=LONG_SECONDS).leads
            failure = FeedFailure(reason="processing", message="the server is full", at=NOW)
            full.feeds.begin_poll("ufc", FeedState())
            full.feeds.end_poll("ufc", FeedState(failure=failure), totals={"failures.processing": 1})
            assert full.feeds.status("ufc").state.failure == failure
        finally:
            full.server.execute("CONFIG", "SET", "maxmemory", 0)
            full.close()
