"""The polls of a live feed, in threads: refusals, failures, the budget, and events that have begun."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from ledger.contracts.feeds import FeedState, FeedStatus
from ledger.ledger import Ledger
from ledger.settings import LedgerSettings
from producer.feed_runner.feed_writer import FeedWriter
from producer.feed_runner.live_loop import LiveLoop
from producer.feed_runner.settings import FeedSettings
from producer.feed_runner.sources.http_client import ProviderClient
from producer.feed_runner.sources.odds_api import OddsApiSource
from tests.support.feed_runners import feed_writer, running_loop
from tests.support.scripted_provider import KEY, Answer, ScriptedProvider, event, refusal, scripted_provider

StartLoop = Callable[..., AbstractContextManager[FeedWriter]]
Until = Callable[..., None]


@pytest.fixture
def provider() -> Iterator[ScriptedProvider]:
    with scripted_provider() as found:
        found.events = [event("e1", datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1))]
        yield found


@pytest.fixture
def loop(ledger_settings: LedgerSettings, provider: ScriptedProvider) -> StartLoop:
    return partial(running_loop, ledger_settings, provider)


@pytest.fixture
def feed(ledger: Ledger) -> Callable[[], FeedStatus]:
    unknown = FeedStatus(name="live", source="", registered_at=datetime.now(UTC))
    return lambda: next(iter(ledger.feeds.all()), unknown)


def test_a_refusal_that_lasts_is_asked_slowly_until_somebody_starts_again(
    loop: StartLoop,
    provider: ScriptedProvider,
    feed: Callable[[], FeedStatus],
    until: Until,
    caplog: pytest.LogCaptureFixture,
) -> None:
    provider.script.append(refusal(401, "INVALID_KEY"))
    with loop():
        until(lambda: feed().state.failure is not None)
        status = feed()
        assert status.state.failure is not None
        assert (status.state.failure.reason, len(provider.asked)) == ("unauthorized", 1)
        assert status.state.next_poll is not None
        assert (status.state.next_poll - status.state.failure.at).total_seconds() > 50
    with loop():  # the key may have been corrected before the restart
        until(lambda: feed().state.failure is None and feed().state.last_success is not None)
    assert feed().totals["failures.unauthorized"] == 1
    assert [record.message for record in caplog.records].count("feed failed") == 1


def test_what_passes_is_asked_again_soon(
    loop: StartLoop, provider: ScriptedProvider, feed: Callable[[], FeedStatus], until: Until
) -> None:
    broken, half = Answer(b"", 500), Answer([1, 2, 3], cut=4)
    unreadable = [Answer(b"not json"), Answer({"message": "hello"}), Answer(b"<p>", kind="text/html")]
    provider.script.extend([broken, half, broken, *unreadable])  # three attempts of one poll, and three polls
    with loop(feed_idle_seconds=3600.0):  # also before it knows of any event
        until(lambda: feed().totals.get("retrievals", 0) >= 2)
    totals = feed().totals
    assert {name: count for name, count in totals.items() if name.startswith("failures")} == {
        "failures.content_type": 1,
        "failures.server_error": 1,
        "failures.unreadable": 2,
    }
    assert feed().state.failure is None


def test_no_poll_exceeds_the_budget(
    loop: StartLoop,
    provider: ScriptedProvider,
    feed: Callable[[], FeedStatus],
    until: Until,
    caplog: pytest.LogCaptureFixture,
) -> None:
    provider.remaining = 3
    with loop(feed_near_window_seconds=3700.0):
        until(lambda: feed().state.last_success is not None)
        status = feed()
        assert status.state.budget.coverage is not None
        assert status.state.budget.coverage < 1
        assert status.state.interval_seconds == 0.8  # events alone, which cost nothing
        provider.remaining = 0  # others have used it
        until(lambda: feed().state.budget.exhausted)
        polls, asked = len(provider.polls), len(provider.asked)
        until(lambda: len(provider.asked) > asked + 1)
        assert len(provider.polls) == polls
        assert [record.message for record in caplog.records] == ["budget exhausted: no prices are asked for"]
        provider.remaining = 1_000_000  # bought
        until(lambda: len(provider.polls) > polls + 2)


def test_the_own_limit_holds_also_for_the_next_leader(
    loop: StartLoop, provider: ScriptedProvider, feed: Callable[[], FeedStatus], until: Until
) -> None:
    for _ in range(2):
        with loop(feed_monthly_budget=4):
            until(lambda: feed().state.last_success is not None)
            asked = len(provider.asked)
            until(lambda: len(provider.asked) > asked + 1)  # noqa: B023 - asked at once
    assert 1 <= len(provider.polls) <= 4
    assert feed().state.budget.spent == len(provider.polls)


def test_attempts_without_a_whole_answer_count_as_paid(
    loop: StartLoop, provider: ScriptedProvider, feed: Callable[[], FeedStatus], until: Until
) -> None:
    half, broken = Answer([1, 2, 3], cut=4), Answer(b"", 500)
    provider.script.extend([half, broken, half])
    with loop(feed_monthly_budget=5):
        until(lambda: feed().state.last_success is not None)
    assert feed().totals["failures.half_body"] == 1
    assert feed().state.budget.spent == 2 + provider.used


def test_the_last_poll_of_the_month_is_refused_and_told(
    loop: StartLoop, provider: ScriptedProvider, feed: Callable[[], FeedStatus], until: Until
) -> None:
    provider.script.append(refusal(401, "OUT_OF_USAGE_CREDITS", "Usage quota has been reached"))
    provider.remaining = 0
    with loop():
        until(lambda: feed().state.failure is not None)
        failure = feed().state.failure
        assert failure is not None
        assert failure.reason == "out_of_credits"
        until(lambda: len(provider.asked) > 2)
    assert len(provider.polls) == 1
    assert feed().state.budget.exhausted


def test_once_all_have_begun_only_the_list_of_events_is_asked(
    loop: StartLoop, provider: ScriptedProvider, feed: Callable[[], FeedStatus], until: Until
) -> None:
    begun = event("e1", datetime.now(UTC) - timedelta(hours=1))
    provider.events = [begun]
    with loop():
        until(lambda: len(provider.asked) >= 4)
        assert (len(provider.polls), feed().state.tier) == (1, "idle")
        provider.events = [begun, event("e2", datetime.now(UTC) + timedelta(hours=1))]
        until(lambda: feed().state.tier == "near" and len(provider.polls) > 2)
    assert feed().totals["cards"] == 1


def test_one_poll_is_left_to_a_leader_that_there_is(
    ledger_settings: LedgerSettings, provider: ScriptedProvider, ledger: Ledger
) -> None:
    ledger.feeds.leases.join("live", "other", source="a test", lease_seconds=60.0)
    settings = FeedSettings(feed_url=provider.url, feed_api_key=KEY)
    with feed_writer(ledger_settings, "live", settings) as writer:
        client = ProviderClient(settings, KEY)
        assert LiveLoop(writer, OddsApiSource(settings, client, ledger.server.time)).run(once=True)
        client.close()
    assert provider.asked == []


def test_polls_that_never_ended_are_not_repeated_at_once(
    loop: StartLoop, provider: ScriptedProvider, ledger: Ledger, feed: Callable[[], FeedStatus], until: Until
) -> None:
    """What ends one runner would end them all, each with a paid poll."""
    ledger.feeds.leases.join("live", "dead", source="", lease_seconds=0.01)
    for _ in range(3):
        ledger.feeds.begin_poll("live", FeedState(interval_seconds=3600.0))
    with loop() as writer:
        until(lambda: writer.attempts == 3)  # it leads, and has read what the last leader left
        led_at = ledger.server.time()
        until(lambda: ledger.server.time() > led_at + 0.5)  # in which it would have polled twice
        assert (provider.asked, feed().totals) == ([], {})


def test_changed_fights_are_events_of_the_feed(
    loop: StartLoop, provider: ScriptedProvider, ledger: Ledger, feed: Callable[[], FeedStatus], until: Until
) -> None:
    """A start that moves, a fighter who is replaced, a bout under another id, one that vanishes and comes back."""
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    later = start + timedelta(minutes=10)
    other = event("e2", start, "Cat Cole", "Dee Dorn")

    def happened(count: int) -> bool:
        return len(ledger.feeds.changes.events("live")) == count

    provider.events = [event("e1", start), other]
    with loop(feed_missing_seconds=0.1):
        until(lambda: len(feed().state.starts) == 1)
        for count, listed in enumerate(
            (
                [event("e1", later), other],
                [event("e1", later, away="Eve Ely"), other],
                [event("e9", later, away="Eve Ely"), other],
                [event("e9", later, away="Eve Ely")],
                [event("e9", later, away="Eve Ely"), other],
            ),
            start=1,
        ):
            provider.events = listed
            until(lambda: happened(count))  # noqa: B023 - asked at once
    changes = [change for _, change in ledger.feeds.changes.events("live")]
    assert [(change.kind, change.fight_id) for change in reversed(changes)] == [
        ("start_moved", "e1"),
        ("fighter_replaced", "e1"),
        ("id_changed", "e9"),
        ("withdrawn", "e2"),
        ("returned", "e2"),
    ]
