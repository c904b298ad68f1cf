"""Feed runners as processes, against a provider on this machine: prices, cards, faults, and who leads."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from ledger.contracts.feeds import FeedStatus
from ledger.ledger import Ledger
from ledger.settings import LedgerSettings
from tests.support.feed_runners import StartRunner, runner_starter
from tests.support.scripted_provider import (
    KEY_IN_URLS,
    SPORT,
    Answer,
    ScriptedProvider,
    event,
    refusal,
    scripted_provider,
)

NAME = f"odds-api.{SPORT}"
Until = Callable[..., None]


@pytest.fixture
def provider() -> Iterator[ScriptedProvider]:
    with scripted_provider() as found:
        found.events = [event("e1", datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1))]
        yield found


@pytest.fixture
def start(ledger_settings: LedgerSettings, tmp_path: Path) -> Iterator[StartRunner]:
    with runner_starter(ledger_settings, tmp_path) as starter:
        yield starter


@pytest.fixture
def feed(ledger: Ledger) -> Callable[[], FeedStatus]:
    return lambda: next(
        (each for each in ledger.feeds.all() if each.name == NAME),
        FeedStatus(name=NAME, source="", registered_at=datetime.now(UTC)),
    )


def test_a_live_feed_from_its_first_poll_to_its_end(
    start: StartRunner,
    provider: ScriptedProvider,
    ledger: Ledger,
    feed: Callable[[], FeedStatus],
    until: Until,
    tmp_path: Path,
) -> None:
    provider.remaining = 100_000
    runner = start("odds-api", "--keep", str(tmp_path / "kept"), provider=provider)
    until(lambda: feed().totals.get("retrievals", 0) >= 3)
    status = feed()
    assert (status.state.tier, status.state.interval_seconds, status.silent_polls < 3) == ("near", 0.2, True)
    assert status.state.budget.remaining is not None
    assert status.source == f"{provider.url.removeprefix('http://')} {SPORT} (us)"
    assert (status.totals["changes"], status.totals["cards"]) == (4, 1)
    assert [quote.bookmaker for quote in ledger.prices.quotes_at("e1", datetime.now(UTC))] == [
        "bluecorner",
        "redcorner",
    ]
    provider.events[0] = event("e1", datetime.fromisoformat(provider.events[0]["commence_time"]), price=1.5)
    until(lambda: feed().totals["changes"] == 6)
    until(lambda: feed().totals["cards"] == 2)
    record = ledger.feeds.retrievals(NAME)[0]
    assert (record.events, record.quotes, record.cost) == (1, 2, 1)
    assert record.provider_at is not None

    # Faults in single events are told, and the others go on.
    provider.events = [*provider.events, {**provider.events[0], "id": "e2", "home_team": None}, {"id": "e3"}]
    until(lambda: len(feed().state.faults) == 2)
    assert "'e2'" in feed().state.faults[0]
    assert runner.lines.count('"event":"event refused"') == 2  # once each
    assert feed().state.failure is None

    assert runner.stop() == 0
    assert feed().leader is None
    kept = sorted((tmp_path / "kept").rglob("*.json.gz"))
    assert len(kept) == len({record.kept for record in ledger.feeds.retrievals(NAME, 1000) if record.kept}) > 3
    shown = runner.lines + json.dumps([each.name for each in kept]) + repr(ledger.feeds.retrievals(NAME, 1000))
    assert not any(key in shown for key in KEY_IN_URLS)


def test_a_leader_that_is_killed_stopped_or_asked_to_end_is_replaced(
    start: StartRunner, provider: ScriptedProvider, ledger: Ledger, feed: Callable[[], FeedStatus], until: Until
) -> None:
    """And one that wakes up writes nothing more, and stands by."""
    runners = {str(runner.process.pid): runner for runner in (start("odds-api", provider=provider) for _ in range(3))}

    def leader() -> str:
        return (feed().leader or "#-").partition("#")[2].partition("-")[0]

    def polled_since(count: int) -> bool:
        return feed().totals.get("retrievals", 0) > count

    until(lambda: len(feed().standbys) == 2 and polled_since(0))
    first, asked = leader(), len(provider.asked)
    late = [event("e1", datetime.fromisoformat(provider.events[0]["commence_time"]), price=7.5)]
    provider.script.append(Answer(late, wait_seconds=1.0))
    until(lambda: len(provider.asked) > asked and not provider.script)  # its answer is on the way
    runners[first].kill(signal.SIGSTOP)
    until(lambda: leader() not in ("", first))
    second, count = leader(), feed().totals["retrievals"]
    until(lambda: polled_since(count))
    runners[first].kill(signal.SIGCONT)
    until(lambda: "write refused: another feed runner leads" in runners[first].lines)  # the late answer
    until(lambda: len(feed().standbys) == 2)
    assert leader() == second
    assert {change.price for change in ledger.prices.history("e1")} == {1.9, 2.05}

    count = feed().totals["retrievals"]
    runners[second].kill()
    until(lambda: leader() not in ("", second) and polled_since(count))

    third, count = leader(), feed().totals["retrievals"]
    assert runners[third].stop() == 0
    until(lambda: leader() not in ("", third), timeout_seconds=1.4)  # sooner than its lease would have ended
    until(lambda: polled_since(count))
    moments = [asked.at for asked in provider.polls]
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    assert min(gaps) > 0.1  # nobody polled beside the leader


def test_one_poll_that_fails(start: StartRunner, provider: ScriptedProvider, ledger: Ledger) -> None:
    provider.script.append(refusal(422, "INVALID_MARKET"))
    assert start("odds-api", "--once", "--name", "one", provider=provider).process.wait(30) == 1
    status = ledger.feeds.status("one")
    assert (len(provider.polls), status.state.done, status.totals) == (1, True, {"failures.invalid_parameter": 1})
