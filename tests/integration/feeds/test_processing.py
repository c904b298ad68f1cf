"""A reading as a whole: prices, changes of fights and cards, each once, in the order that readers need."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ledger.contracts.job_state import JobState
from ledger.ledger import Ledger
from producer.client import Client
from producer.feed_runner.card_policy import CardPolicy
from producer.feed_runner.processing import process_reading
from producer.feed_runner.reading import Retrieval, read_retrieval

NOW = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
START = NOW + timedelta(days=2)


def event(name: str, start: datetime = START, price: float = 2.0, away: str | None = None) -> dict[str, Any]:
    home, away = f"Home {name}", away or f"Away {name}"
    outcomes = [{"name": home, "price": price}, {"name": away, "price": 1.8}]
    market = {"key": "h2h", "outcomes": outcomes}
    return {
        "id": name,
        "commence_time": start.isoformat(),
        "home_team": home,
        "away_team": away,
        "bookmakers": [{"key": "a", "markets": [market]}],
    }


@pytest.fixture
def client(ledger: Ledger) -> Client:
    return Client(ledger)


def process(client: Client, minutes: float, *events: dict[str, Any], cards: bool = True) -> dict[str, int]:
    read_at = NOW + timedelta(minutes=minutes)
    content = json.dumps(events).encode()
    retrieval = Retrieval.of("test", content, read_at=read_at, provider_at=None)
    reading = read_retrieval(retrieval, price_format="decimal", model="champion")
    return process_reading(client, "live", reading, CardPolicy() if cards else None)


def jobs(client: Client) -> list[tuple[str, JobState]]:
    cards = client.ledger.card_answers.upcoming(NOW)
    answers = [(card.card_id, answer) for card in cards for answer in client.ledger.card_answers.of_card(card.card_id)]
    return [(card_id.partition("@")[2], answer.state) for card_id, answer in answers]


def test_a_reading_is_processed_once(client: Client) -> None:
    assert process(client, 0, event("1"), event("2")) == {"changes": 4, "cards": 1}
    assert process(client, 0, event("1"), event("2")) == {"changes": 0, "cards": 0}
    assert process(client, 1, event("1"), event("2")) == {"changes": 0, "cards": 0}
    assert process(client, 2, event("1", price=2.3), event("2")) == {"changes": 1, "cards": 1}
    assert [state for _, state in jobs(client)] == [JobState.QUEUED, JobState.CANCELLED]


def test_an_event_that_moves_takes_its_answers_along(client: Client) -> None:
    process(client, 0, event("1"), event("2"))
    later = START + timedelta(hours=1)
    assert process(client, 1, event("1", later), event("2", later))["cards"] == 1
    assert sorted(state for _, state in jobs(client)) == [JobState.CANCELLED, JobState.QUEUED]
    [old] = client.ledger.card_answers.of_card(f"card@{START:%Y-%m-%dT%H:%M:%S}Z")
    assert client.status(old.job_id).superseded_by is not None
    assert [change.kind for _, change in client.ledger.feeds.changes.events("live")] == ["start_moved"] * 2
    state = client.ledger.prices.state("1")
    assert state is not None
    assert state.start == later


def test_an_event_that_cannot_be_read_is_not_withdrawn(client: Client) -> None:
    process(client, 0, event("1"), event("2"))
    broken = {**event("2"), "commence_time": "soon"}
    for minutes in (1, 10, 20, 29):
        process(client, minutes, event("1"), broken)
    assert client.ledger.feeds.changes.events("live") == []
    for minutes in (30, 40, 50):
        process(client, minutes, event("1"))
    assert [change.kind for _, change in client.ledger.feeds.changes.events("live")] == ["withdrawn"]


def test_without_cards_the_history_is_kept_nevertheless(client: Client) -> None:
    process(client, 0, event("1"), cards=False)
    process(client, 1, event("1", away="Other"), cards=False)
    assert jobs(client) == []
    assert len(client.ledger.prices.history("1")) == 6  # two withdrawals in between
    assert [change.kind for _, change in client.ledger.feeds.changes.events("live")] == ["fighter_replaced"]
