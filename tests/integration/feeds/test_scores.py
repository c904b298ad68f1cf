"""Scores beside the prices of a live feed: kept in a folder, inside the budget, and no matter for the prices."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from ledger.ledger import Ledger
from ledger.settings import LedgerSettings
from producer.feed_runner.failures import RetrievalError
from producer.feed_runner.feed_writer import FeedWriter
from producer.feed_runner.reading import Retrieval
from producer.feed_runner.sources.scores import ScoresFolder
from tests.support.feed_runners import running_loop
from tests.support.scripted_provider import ScriptedProvider, event, scripted_provider

StartLoop = Callable[..., AbstractContextManager[FeedWriter]]
Until = Callable[..., None]
NOW = datetime(2026, 11, 30, 23, 59, tzinfo=UTC)


@pytest.fixture
def provider() -> Iterator[ScriptedProvider]:
    with scripted_provider() as found:
        found.events = [event("e1", datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1))]
        yield found


@pytest.fixture
def loop(ledger_settings: LedgerSettings, provider: ScriptedProvider, tmp_path: Path) -> StartLoop:
    return partial(
        running_loop, ledger_settings, provider, feed_scores=str(tmp_path / "scores"), feed_scores_seconds=0.3
    )


def _asked(provider: ScriptedProvider) -> int:
    return sum(asked.path.endswith("/scores") for asked in provider.asked)


def test_scores_are_read_again_and_again_and_kept_by_day(
    loop: StartLoop, provider: ScriptedProvider, ledger: Ledger, until: Until, tmp_path: Path
) -> None:
    with loop():
        until(lambda: _asked(provider) >= 3 and len(provider.polls) >= 3)
    (kept,) = (tmp_path / "scores").iterdir()
    assert kept.name == f"scores-{datetime.now(UTC):%Y-%m-%d}.json"
    assert json.loads(kept.read_bytes())[0]["id"] == "e1"
    asked = next(asked for asked in provider.asked if asked.path.endswith("/scores"))
    assert asked.parameters == {"daysFrom": "3", "dateFormat": "iso"}
    assert all(record.events == 1 for record in ledger.feeds.retrievals("live"))  # they are no retrievals of prices


def test_the_last_credits_are_kept_for_prices(
    loop: StartLoop, provider: ScriptedProvider, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    provider.remaining = 3
    with loop():
        until(lambda: any("the credits are kept" in str(vars(record)) for record in caplog.records))
        asked = _asked(provider)
        until(lambda: len(provider.asked) > asked + 2)  # of the events, which cost nothing
        assert _asked(provider) == asked


def test_what_is_no_scores_is_told_once_and_prices_go_on(
    loop: StartLoop, provider: ScriptedProvider, until: Until, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    (tmp_path / "scores").write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING), loop():
        until(lambda: len(provider.polls) >= 3 and _asked(provider) >= 2)
    assert sum("scores not read" in record.getMessage() for record in caplog.records) == 1


def _retrieval(content: bytes, read_at: datetime) -> Retrieval:
    return Retrieval.of("a test", content, read_at=read_at, provider_at=None)


def test_a_runner_that_takes_over_reads_when_it_is_due(tmp_path: Path) -> None:
    folder = ScoresFolder(tmp_path, 3600.0)
    assert folder.is_due(NOW.timestamp())
    folder.keep(_retrieval(b"[]", NOW))
    assert not folder.is_due(NOW.timestamp() + 3599)
    (path,) = tmp_path.iterdir()
    os.utime(path, (NOW.timestamp(), NOW.timestamp()))
    other = ScoresFolder(tmp_path, 3600.0)
    assert [other.is_due(NOW.timestamp() + seconds) for seconds in (60, 3601)] == [False, True]
    assert other.is_due(NOW.timestamp() - 7200)  # the clock was set back
    other.keep(_retrieval(b"[1]", NOW + timedelta(minutes=2)))
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("content", [b"{}", b"<html>", b"[1"])
def test_content_that_is_no_list_is_refused_and_replaces_nothing(content: bytes, tmp_path: Path) -> None:
    folder = ScoresFolder(tmp_path, 3600.0)
    folder.keep(_retrieval(b"[]", NOW))
    with pytest.raises(RetrievalError, match="is CORNERMAN_FEED_URL right"):
        folder.keep(_retrieval(content, NOW))
    (path,) = tmp_path.iterdir()
    assert path.read_bytes() == b"[]"
