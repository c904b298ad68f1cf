from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from ledger.contracts.fight_changes import FightChange, ListedState
from ledger.contracts.jobs import Fight, Fighter, PredictCard
from producer.feed_runner.listing import MISSING_READINGS, MISSING_TIME, Comparison, compare, listed_states

START = datetime(2098, 12, 28, 22, tzinfo=UTC)
T0 = START - timedelta(days=2)
A, B = ("Ana Núñez", "Bea"), ("Cleo", "Dora")


def card(start: datetime = START, **fights: tuple[str, str]) -> PredictCard:
    return PredictCard(
        card_id=f"c@{start:%d-%H%M}",
        event_start=start,
        fights=tuple(
            Fight(id=name, fighters=(Fighter(name=one), Fighter(name=other))) for name, (one, other) in fights.items()
        ),
    )


class Feed:
    """A feed and what its readings have left."""

    def __init__(self) -> None:
        self.states: dict[str, ListedState] = {}
        self.at = T0

    def read(self, *cards: PredictCard, minutes: float = 5.0, unreadable: tuple[str, ...] = ()) -> Comparison:
        self.at += timedelta(minutes=minutes)
        found = compare("feed", self.states, listed_states(cards), self.at, unreadable)
        self.states = {**self.states, **found.changed}
        for name in found.removed:
            del self.states[name]
        return found

    def kinds(self, *cards: PredictCard, minutes: float = 5.0, unreadable: tuple[str, ...] = ()) -> list[str]:
        changes = self.read(*cards, minutes=minutes, unreadable=unreadable).changes
        return [f"{change.kind} {change.fight_id}" for change in changes]


@pytest.fixture
def feed() -> Feed:
    made = Feed()
    assert made.read(card(a=A, b=B)).changes == ()
    return made


def test_the_same_reading_changes_nothing(feed: Feed) -> None:
    again = feed.read(card(b=("dora", "CLEO"), a=("Bea", "Ana Nunez")))
    assert again.changes == ()
    nothing = feed.read(card(b=("dora", "CLEO"), a=("Bea", "Ana Nunez")))
    assert nothing == Comparison(changed={}, removed=(), changes=())


def test_a_moved_start_says_from_where(feed: Feed) -> None:
    later = START + timedelta(hours=1)
    [change, _] = feed.read(card(later, a=A, b=B)).changes
    assert (change.kind, change.start_before, change.start) == ("start_moved", START, later)
    assert (change.card_before, change.card_id) == ("c@28-2200", "c@28-2300")
    assert change.id == f"{int(feed.at.timestamp() * 1e6)}-0"
    assert feed.kinds(card(later, a=A, b=B)) == []


def test_a_replaced_fighter_is_found_by_the_names(feed: Feed) -> None:
    [change] = feed.read(card(a=("Ana Núñez", "Eve"), b=B)).changes
    assert (change.kind, change.fighters_before, change.fighters) == ("fighter_replaced", A, ("Ana Núñez", "Eve"))
    assert change.ends_bets


def test_a_fight_is_withdrawn_when_it_is_missing_often_and_for_long(feed: Feed) -> None:
    assert [feed.kinds(card(a=A), minutes=1) for _ in range(10)] == [[]] * 10  # often, but not for long
    assert feed.kinds(card(a=A), minutes=1) == ["withdrawn b"]
    assert feed.kinds(card(a=A), minutes=1) == []  # once
    assert feed.kinds(card(a=A, b=B)) == ["returned b"]
    assert [feed.kinds(card(a=A), minutes=60) for _ in range(MISSING_READINGS)] == [[], [], ["withdrawn b"]]
    assert timedelta(minutes=9) < MISSING_TIME < timedelta(minutes=11)


def test_a_gap_in_between_begins_the_count_again(feed: Feed) -> None:
    for _ in range(5):
        assert feed.kinds(card(a=A)) == []
        assert feed.kinds(card(a=A)) == []
        assert feed.kinds(card(a=A, b=B)) == []


def test_readings_without_a_fight_prove_nothing(feed: Feed) -> None:
    assert [feed.kinds() for _ in range(10)] == [[]] * 10
    assert feed.kinds(card(a=A)) == []


def test_an_event_that_cannot_be_read_is_not_missing(feed: Feed) -> None:
    assert [feed.kinds(card(a=A), unreadable=("b",)) for _ in range(10)] == [[]] * 10


def test_a_fight_that_has_begun_may_leave_the_feed(feed: Feed) -> None:
    feed.at = START - timedelta(minutes=5)
    assert [feed.kinds(card(a=A), minutes=5) for _ in range(10)] == [[]] * 10
    over = feed.read(card(START + timedelta(days=9), z=A), minutes=60 * 24 * 3)
    assert set(over.removed) == {"a", "b"}
    assert feed.states.keys() == {"z"}


def test_the_same_bout_under_another_id(feed: Feed) -> None:
    later = START + timedelta(minutes=30)
    [change] = feed.read(card(a=A), card(later, new=("Dora", "Cleo"))).changes
    assert (change.kind, change.id_before, change.fight_id, change.start_before) == ("id_changed", "b", "new", START)
    assert [feed.kinds(card(a=A), card(later, new=B)) for _ in range(5)] == [[]] * 5  # and not withdrawn
    assert feed.kinds(card(a=A, b=B)) == ["returned b"]


def test_two_ids_at_once_are_duplicates_and_no_change(feed: Feed) -> None:
    assert feed.kinds(card(a=A, b=B, twin=B)) == []


def test_a_rematch_on_another_day_is_another_bout(feed: Feed) -> None:
    assert feed.kinds(card(a=A), card(START + timedelta(days=30), rematch=B)) == []


def test_several_changes_of_one_fight_are_events_of_their_own(feed: Feed) -> None:
    later = START + timedelta(hours=1)
    assert feed.kinds(card(a=A), card(later, b=("Cleo", "Eve"))) == ["fighter_replaced b", "start_moved b"]


def test_changes_survive_the_wire() -> None:
    feed = Feed()
    feed.read(card(a=A))
    [change] = feed.read(card(a=("Ana Núñez", "Eve"))).changes
    assert msgspec.json.decode(msgspec.json.encode(change), type=FightChange) == change
