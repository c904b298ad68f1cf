"""Changes of fights are stored once and end their bets once, also if processes are killed in between."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ledger.contracts.bets import BetVoided, PlacedBet
from ledger.contracts.failures import LeadershipLostError
from ledger.contracts.fight_changes import FightChange
from ledger.contracts.jobs import Fight, Fighter, PredictCard
from ledger.feeds.fight_changes import FightChanges
from ledger.ledger import Ledger, LedgerSettings
from producer.feed_runner.fight_changes import moved_cards, record_fight_changes

T0 = datetime.now(UTC).replace(microsecond=0)
START = T0 + timedelta(days=2)
A, B = ("Ana", "Bea"), ("Cleo", "Dora")


def card(start: datetime = START, **fights: tuple[str, str]) -> PredictCard:
    return PredictCard(
        card_id=f"c@{start:%d-%H%M}",
        event_start=start,
        fights=tuple(
            Fight(id=name, fighters=(Fighter(name=one), Fighter(name=other))) for name, (one, other) in fights.items()
        ),
    )


def read(ledger: Ledger, minutes: float, *cards: PredictCard, **options: Any) -> list[FightChange]:
    return record_fight_changes(ledger, "live", cards, T0 + timedelta(minutes=minutes), **options)


def bet(ledger: Ledger, fight: str, names: tuple[str, str], number: int = 1, live: bool = False) -> str:
    made = PlacedBet(
        bet_id=f"{fight}-{number}",
        job_id=f"job-{number}",
        card_id="c",
        fight_id=fight,
        event_start=START,
        fighters=names,
        fighter=names[0],
        bookmaker="a",
        price=2.0,
        stake=100,
        who="ann",
        mode="live" if live else "paper",
    )
    return ledger.bets.place(made, taken=True).bet.id


def voided(ledger: Ledger) -> list[tuple[str, str]]:
    return [(entry.bet_id, entry.reason) for entry in ledger.bets.entries() if isinstance(entry, BetVoided)]


def test_bets_end_with_a_replaced_fighter_and_live_ones_are_for_a_person(ledger: Ledger) -> None:
    read(ledger, 0, card(a=A, b=B))
    paper, live, other = bet(ledger, "a", A), bet(ledger, "a", A, 2, live=True), bet(ledger, "b", B)
    [change] = read(ledger, 5, card(a=("Ana", "Eve"), b=B))
    assert (change.kind, change.bets_voided, change.bets_to_check) == ("fighter_replaced", (paper,), (live,))
    assert voided(ledger) == [(paper, "a fighter was replaced: Ana v Bea is now Ana v Eve")]
    assert {each.id for each in ledger.bets.open_bets()} == {live, other}
    assert [each for _, each in ledger.feeds.changes.events("live")] == [change]
    assert read(ledger, 5, card(a=("Ana", "Eve"), b=B)) == []  # repeated
    assert read(ledger, 1, card(a=A)) == []  # older
    assert ledger.feeds.changes.pending("live") == []


def test_bets_stand_if_the_start_moves_and_end_if_the_bout_vanishes(ledger: Ledger) -> None:
    later = START + timedelta(hours=1)
    read(ledger, 0, card(a=A, b=B))
    first, second = bet(ledger, "a", A), bet(ledger, "b", B)
    moved = read(ledger, 5, card(later, a=A, b=B))
    assert [(each.kind, each.bets_voided) for each in moved] == [("start_moved", ())] * 2
    assert moved_cards(ledger, "live", [card(later, a=A, b=B)]) == {card(later).card_id: card().card_id}
    assert moved_cards(ledger, "live", [card(later, a=A), card(b=B)]) == {}  # a part of the card stayed
    assert ledger.feeds.changes.unlisted(["a", "b"]) == {}
    for minutes in (10, 20, 30):
        found = read(ledger, minutes, card(later, a=A))
    assert [each.bets_voided for each in found] == [(second,)]
    assert voided(ledger) == [(second, "the feed live no longer lists the fight")]
    assert ledger.feeds.changes.unlisted(["a", "b"]).keys() == {"b"}
    assert [each.id for each in ledger.bets.open_bets()] == [first]
    [back] = read(ledger, 40, card(later, a=A, b=B))
    assert (back.kind, ledger.feeds.changes.unlisted(["a", "b"])) == ("returned", {})
    assert [each.kind for _, each in ledger.feeds.changes.events("live")] == [
        "returned",
        "withdrawn",
        "start_moved",
        "start_moved",
    ]


def test_any_name_can_be_replaced(ledger: Ledger) -> None:
    names = tuple(f"{letter * 115}\t{letter}" for letter in "ab")
    read(ledger, 0, card(a=names))
    paper = bet(ledger, "a", names)
    [change] = read(ledger, 5, card(a=("c" * 120, "d" * 120)))
    assert change.bets_voided == (paper,)
    assert [len(reason) for _, reason in voided(ledger)] == [500]


def test_bets_are_not_voided_by_an_old_reading(ledger: Ledger) -> None:
    read(ledger, -3000, card(a=A))
    paper = bet(ledger, "a", A)
    [change] = read(ledger, -2000, card(a=("Ana", "Eve")))
    assert (change.bets_voided, change.bets_to_check) == ((), (paper,))


def test_a_changed_id_is_found_and_bets_on_the_bout_stand(ledger: Ledger) -> None:
    read(ledger, 0, card(a=A, b=B))
    bet(ledger, "b", B)
    [change] = read(ledger, 5, card(a=A, new=B))
    assert (change.kind, change.id_before, change.fight_id, change.bets_voided) == ("id_changed", "b", "new", ())
    assert ledger.feeds.changes.unlisted(["b", "new"]) == {"b": change}
    assert len(ledger.bets.open_bets()) == 1


def test_a_bet_on_the_new_bout_stands(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    read(ledger, 0, card(a=A))
    old = bet(ledger, "a", A)
    store = FightChanges.store

    def slow(own: FightChanges, *given: Any, **more: Any) -> bool:
        stored = store(own, *given, **more)
        bet(ledger, "a", ("Eve", "Ana"), 2)  # the new answer was faster
        return stored

    monkeypatch.setattr(FightChanges, "store", slow)
    [change] = read(ledger, 5, card(a=("Ana", "Eve")))
    assert change.bets_voided == (old,)
    assert [each.id for each in ledger.bets.open_bets()] == ["a-2"]


def test_a_bet_that_was_settled_first_stays_settled(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    read(ledger, 0, card(a=A))
    first, second = bet(ledger, "a", A), bet(ledger, "a", A, 2)
    plan = FightChanges.plan

    def slow(changes: FightChanges, change: FightChange) -> FightChange:
        planned = plan(changes, change)
        ledger.bets.settle({first: "won"}, user="ann")
        return planned

    monkeypatch.setattr(FightChanges, "plan", slow)
    read(ledger, 5, card(a=("Ana", "Eve")))
    assert ledger.bets.get(first).state == "won"
    assert ledger.bets.get(second).state == "void"


@pytest.mark.parametrize("call", ["store", "plan", "finish"])
@pytest.mark.parametrize("before", [True, False])
def test_a_process_that_dies_leaves_the_rest_to_the_next(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, call: str, before: bool
) -> None:
    """The reading is processed again, by another runner, and the bets of the first plan end once."""
    read(ledger, 0, card(a=A, b=B))
    paper = bet(ledger, "a", A)
    real: Callable[..., Any] = getattr(FightChanges, call)

    def die(*given: Any, **more: Any) -> None:
        if not before:
            real(*given, **more)
        raise KeyboardInterrupt

    monkeypatch.setattr(FightChanges, call, die)
    with pytest.raises(KeyboardInterrupt):
        read(ledger, 5, card(a=("Ana", "Eve"), b=B))
    monkeypatch.undo()
    read(ledger, 5, card(a=("Ana", "Eve"), b=B))
    read(ledger, 10, card(a=("Ana", "Eve"), b=B))
    [(_, change)] = ledger.feeds.changes.events("live")
    assert change.bets_voided == (paper,)
    assert len(voided(ledger)) == 1
    assert ledger.feeds.changes.pending("live") == []


def test_runners_at_once_report_each_change_once(ledger: Ledger, ledger_settings: LedgerSettings) -> None:
    read(ledger, 0, card(a=A, b=B))
    bet(ledger, "a", A)
    ready = threading.Barrier(4)

    def run(number: int) -> None:
        own = Ledger.connect(ledger_settings)
        ready.wait()
        for minutes in range(1, 20):
            names = ("Ana", "Eve") if minutes >= 10 else A
            read(own, minutes + number / 60, card(a=names, b=B))
        own.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kinds = [change.kind for _, change in ledger.feeds.changes.events("live")]
    # Readings that come in another order than they were read may look as if the fighter had changed back: never twice.
    assert kinds == ["fighter_replaced"]
    assert len(voided(ledger)) == 1


def test_an_earlier_leader_changes_nothing(ledger: Ledger) -> None:
    read(ledger, 0, card(a=A))
    lease = ledger.feeds.leases.join("live", "one", source="x", lease_seconds=60)
    ledger.server.fence = lease.fence
    read(ledger, 1, card(a=A))
    ledger.feeds.leases.leave("live", "one")
    ledger.feeds.leases.join("live", "two", source="x", lease_seconds=60)
    with pytest.raises(LeadershipLostError):
        read(ledger, 2, card(a=("Ana", "Eve")))
    ledger.server.fence = ""
    assert ledger.feeds.changes.pending("live") == []


def test_a_removed_feed_is_forgotten(ledger: Ledger) -> None:
    ledger.feeds.leases.join("live", "one", source="x", lease_seconds=60)
    read(ledger, 0, card(a=A))
    ledger.feeds.leases.leave("live", "one")
    ledger.feeds.remove("live")
    assert ledger.feeds.changes.listed("live").fights == {}
