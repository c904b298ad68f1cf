"""Requests to a provider that goes wrong in every way; over real sockets."""

from __future__ import annotations

import gzip
import time
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from producer.feed.envelopes import MAX_FEED_BYTES
from producer.feed_runner.failures import Reason, RetrievalError
from producer.feed_runner.settings import FeedSettings
from producer.feed_runner.sources.http_client import ProviderClient
from producer.feed_runner.sources.odds_api import OddsApiSource
from tests.support.scripted_provider import (
    KEY,
    KEY_IN_URLS,
    SPORT,
    Answer,
    ScriptedProvider,
    refusal,
    scripted_provider,
)

START = datetime(2026, 12, 5, 22, tzinfo=UTC)
LIMIT_SECONDS = 0.4


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedProvider]:
    with scripted_provider() as found:
        yield found


@pytest.fixture
def provider(server: ScriptedProvider) -> ScriptedProvider:
    server.script.clear()
    server.asked.clear()
    server.events, server.remaining = [], None
    return server


def settings_for(provider: ScriptedProvider, **given: Any) -> FeedSettings:
    quick: dict[str, Any] = {"feed_retry_seconds": 0.01, "feed_attempts": 3}
    return FeedSettings(feed_url=provider.url, feed_api_key=KEY, **quick | given)


@pytest.fixture
def client(provider: ScriptedProvider) -> Iterator[ProviderClient]:
    found = ProviderClient(settings_for(provider), KEY)
    yield found
    found.close()


def failure(client: ProviderClient) -> RetrievalError:
    with pytest.raises(RetrievalError) as raised:
        client.get("/v4/x", {})
    shown = "".join(traceback.format_exception(raised.value)) + repr(raised.value) + str(raised.value)
    assert not any(key in shown for key in KEY_IN_URLS), "the key is in an error"
    return raised.value


@pytest.mark.parametrize(
    ("answer", "reason", "words"),
    [
        (refusal(401, "INVALID_KEY", f"the key {KEY} is bad"), Reason.UNAUTHORIZED, "CORNERMAN_FEED_API_KEY"),
        (refusal(401, "DEACTIVATED_KEY"), Reason.UNAUTHORIZED, "DEACTIVATED_KEY"),
        (refusal(401, "OUT_OF_USAGE_CREDITS"), Reason.OUT_OF_CREDITS, "used up"),
        (refusal(429, "EXCEEDED_FREQ_LIMIT"), Reason.RATE_LIMITED, "too many requests"),
        (
            refusal(422, "INVALID_REGION", "Invalid regions"),
            Reason.INVALID_PARAMETER,
            "INVALID_REGION: Invalid regions",
        ),
        (refusal(404, "UNKNOWN_SPORT"), Reason.NOT_FOUND, "CORNERMAN_FEED_SPORT"),
        (Answer(b"\xff\x00not json", 401), Reason.UNAUTHORIZED, "does not accept the API key"),
        (Answer(b"x" * 100_000, 422), Reason.INVALID_PARAMETER, "does not accept a parameter"),
        (Answer([], 302, {"location": "https://other.example/?apiKey=stolen"}), Reason.REDIRECT, "other.example"),
        (Answer([], 308, {"location": "/elsewhere"}), Reason.REDIRECT, "not followed"),
        (Answer(b"<html>", kind="text/html"), Reason.CONTENT_TYPE, "'text/html'"),
        (Answer(b"[]", kind=""), Reason.CONTENT_TYPE, "no content type"),
        (Answer(b"[]", headers={"content-encoding": "br"}), Reason.CONTENT_TYPE, "'br'"),
        (Answer(b" " * (MAX_FEED_BYTES + 1)), Reason.TOO_LARGE, "8,000,000"),
        (Answer(b" " * (MAX_FEED_BYTES + 1), packed=True), Reason.TOO_LARGE, "8,000,000"),
        (Answer([], 418), Reason.UNEXPECTED_STATUS, "418"),
    ],
    ids=lambda value: value.value if isinstance(value, Reason) else "",
)
def test_what_does_not_pass_by_itself_is_asked_once(
    provider: ScriptedProvider, client: ProviderClient, answer: Answer, reason: Reason, words: str
) -> None:
    provider.script.append(answer)
    error = failure(client)
    assert (error.reason, len(provider.asked)) == (reason, 1)
    assert words in str(error)
    assert "stolen" not in str(error)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(b"oops", 500, kind="text/plain"), Reason.SERVER_ERROR),
        (Answer(b"", 503), Reason.SERVER_ERROR),
        (Answer([1, 2, 3], cut=4), Reason.HALF_BODY),
        (Answer([1, 2, 3], cut=0), Reason.HALF_BODY),
        (Answer(b"not gzip at all", headers={"content-encoding": "gzip"}), Reason.HALF_BODY),
        (Answer(gzip.compress(b"[1, 2, 3]")[:-9], headers={"content-encoding": "gzip"}), Reason.HALF_BODY),
    ],
    ids=lambda value: value.value if isinstance(value, Reason) else "",
)
def test_what_may_pass_is_asked_again_in_the_same_poll(
    provider: ScriptedProvider, client: ProviderClient, answer: Answer, reason: Reason
) -> None:
    provider.script.extend([answer] * 3)
    error = failure(client)
    assert (error.reason, len(provider.asked)) == (reason, 3)
    provider.script.append(answer)
    assert client.get("/v4/x", {}).content == b"[]"  # and then it is well


@pytest.mark.parametrize(
    "answer",
    [Answer([], wait_seconds=60), Answer(b"[" + b" " * 1000 + b"]", trickle_seconds=0.05)],
    ids=["silent", "a byte from time to time"],
)
def test_the_whole_answer_has_a_time_limit(provider: ScriptedProvider, answer: Answer) -> None:
    client = ProviderClient(settings_for(provider, feed_timeout_seconds=LIMIT_SECONDS, feed_attempts=2), KEY)
    provider.script.extend([answer] * 2)
    error = failure(client)
    assert (error.reason, len(provider.asked)) == (Reason.TIMEOUT, 2)
    client.close()


def test_who_is_too_fast_waits_as_long_as_the_provider_says(provider: ScriptedProvider, client: ProviderClient) -> None:
    provider.script.append(refusal(429, "EXCEEDED_FREQ_LIMIT", **{"retry-after": "1"}))
    assert client.get("/v4/x", {}).content == b"[]"
    first, second = provider.asked
    assert second.at - first.at >= 1.0


@pytest.mark.parametrize(("text", "seconds"), [("120", 120.0), ("1e9", 3600.0), ("soon", None), ("-5", None)])
def test_a_long_wait_is_left_to_the_next_poll(
    provider: ScriptedProvider, client: ProviderClient, text: str, seconds: float | None
) -> None:
    provider.script.append(refusal(429, "EXCEEDED_FREQ_LIMIT", **{"retry-after": text}))
    error = failure(client)
    assert (error.retry_after_seconds, len(provider.asked)) == (seconds, 1)


def test_a_wait_may_be_a_date(provider: ScriptedProvider, client: ProviderClient) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(minutes=10), usegmt=True)
    provider.script.append(refusal(429, "EXCEEDED_FREQ_LIMIT", **{"retry-after": date}))
    seconds = failure(client).retry_after_seconds
    assert seconds is not None
    assert 500 < seconds <= 600


def test_nobody_listens() -> None:
    settings = FeedSettings(feed_url="http://127.0.0.1:9", feed_api_key=KEY, feed_retry_seconds=0.01, feed_attempts=2)
    client = ProviderClient(settings, KEY)
    error = failure(client)
    assert error.reason is Reason.CONNECTION
    assert "CORNERMAN_FEED_URL" in str(error)
    client.close()


def test_the_budget_is_read_from_every_answer_also_from_refusals(
    provider: ScriptedProvider, client: ProviderClient
) -> None:
    counted = {"x-requests-remaining": "7", "x-requests-used": "493", "x-requests-last": "0"}
    provider.script.append(refusal(422, "INVALID_MARKET", **counted))
    provider.script.append(Answer([], headers=counted))
    assert failure(client).usage.remaining == 7
    assert client.get("/v4/x", {}).usage.used == 493
    provider.script.append(refusal(401, "OUT_OF_USAGE_CREDITS"))
    assert failure(client).usage.remaining == 0


def test_the_requests_are_those_of_the_documentation(provider: ScriptedProvider, client: ProviderClient) -> None:
    settings = settings_for(provider, feed_regions="us,uk")
    source = OddsApiSource(settings, client, time.time)
    source.prices()
    source.events()
    provider.script.append(Answer({"timestamp": "2026-11-21T21:55:00Z", "data": []}, packed=True))
    past = source.prices_at(datetime(2026, 11, 21, 21, 57, 30, tzinfo=UTC))
    prices = {"markets": "h2h", "oddsFormat": "decimal", "dateFormat": "iso", "regions": "us,uk"}
    assert [(asked.path, asked.parameters) for asked in provider.asked] == [
        (f"/v4/sports/{SPORT}/odds", prices),
        (f"/v4/sports/{SPORT}/events", {"dateFormat": "iso"}),
        (f"/v4/historical/sports/{SPORT}/odds", {**prices, "date": "2026-11-21T21:57:30Z"}),
    ]
    assert past.retrieval.provider_at == datetime(2026, 11, 21, 21, 55, tzinfo=UTC)
    assert provider.keys == {KEY}
    assert KEY not in repr(past.retrieval)
    assert past.retrieval.source == f"{provider.url}/v4/historical/sports/{SPORT}/odds"


def test_the_providers_moment_is_the_date_of_its_answer_less_its_time_in_a_cache(
    provider: ScriptedProvider, client: ProviderClient
) -> None:
    source = OddsApiSource(settings_for(provider), client, time.time)
    provider.script.append(Answer([], headers={"age": "40"}))
    found = source.prices().retrieval
    assert found.provider_at is not None
    assert 38 < (found.read_at - found.provider_at).total_seconds() < 45


class TestTheKey:
    def test_is_read_from_a_variable_or_a_file(self, tmp_path: Any) -> None:
        path = tmp_path / "key"
        path.write_text(f"{'a' * 32}\n")
        assert FeedSettings(feed_api_key_file=str(path)).api_key() == "a" * 32
        assert FeedSettings(feed_api_key="b", feed_api_key_file=str(path)).api_key() == "b"
        path.write_text("two words")
        with pytest.raises(ValueError, match="does not contain one key"):
            FeedSettings(feed_api_key_file=str(path)).api_key()
        with pytest.raises(ValueError, match="cannot be read"):
            FeedSettings(feed_api_key_file=str(tmp_path / "none")).api_key()
        with pytest.raises(ValueError, match="no API key: set CORNERMAN_FEED_API_KEY"):
            FeedSettings().api_key()

    def test_is_not_shown_with_the_settings(self) -> None:
        assert KEY not in repr(FeedSettings(feed_api_key=KEY))

    @pytest.mark.parametrize(
        "url",
        ["http://odds.example", "ftp://odds.example", "https://u:p@odds.example", "https://odds.example/?a=b", "odds"],
    )
    def test_goes_to_no_address_that_would_show_it(self, url: str) -> None:
        with pytest.raises(ValueError, match="CORNERMAN_FEED_URL"):
            FeedSettings(feed_url=url)
