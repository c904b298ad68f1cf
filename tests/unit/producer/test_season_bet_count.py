from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from ledger.contracts.bets import BetEntry, BetPlaced, BetResult, BetSettled, BetVoided, PlacedBet
from producer.service.season.bet_count import count_bets
from producer.service.season.count import Count

DAY = datetime(2026, 11, 30, 12, tzinfo=UTC)


def _bout(first: str, second: str, *listings: dict[str, Any]) -> dict[str, Any]:
    return {"fighters": [first, second], "listings": list(listings)}


def _listing(name: str, *results: str, spans: int = 1) -> dict[str, Any]:
    return {"id": name, "listed": [[0, 1]] * spans, "results": [[9, result] for result in results]}


BOUTS = [
    _bout("Ann Archer", "Bea Baker", _listing("won", "first")),
    _bout("Cleo Cole", "Dora Dell", _listing("overturned", "second", "no_contest")),
    _bout("Eva Eden", "Fay Ford", _listing("old id"), _listing("new id", "first")),
    _bout("Gia Gold", "Hope Hale", _listing("cancelled")),
    _bout("Ida Ives", "Joy Jett", _listing("draw", "draw")),
]
WANTED = {"won": "job", "overturned": "job", "new id": "job", "cancelled": "job", "draw": "job"}


def _placed(fight_id: str, fighter: str, bet_id: str = "") -> BetPlaced:
    bout = next(bout for bout in BOUTS if fighter in bout["fighters"])
    bet = PlacedBet(
        bet_id=bet_id or fight_id,
        job_id="job",
        card_id="card",
        fight_id=fight_id,
        event_start=DAY,
        fighters=tuple(bout["fighters"]),
        fighter=fighter,
        bookmaker="x",
        price=2.0,
        stake=100,
        who="follower",
    )
    return BetPlaced(place="1-0", at=DAY, bet=bet)


def _settled(bet_id: str, result: BetResult, reverses: str | None = None) -> BetSettled:
    return BetSettled(
        place="2-0",
        at=DAY,
        bet_id=bet_id,
        fight_id=bet_id,
        mode="paper",
        result=result,
        returned=0,
        profit=0,
        who="settle",
        reverses=reverses,
    )


def _voided(bet_id: str) -> BetVoided:
    return BetVoided(place="2-0", at=DAY, bet_id=bet_id, fight_id=bet_id, mode="paper", who="settle", reason="gone")


RIGHT: list[BetEntry] = [
    _placed("won", "Ann Archer"),
    _placed("overturned", "Cleo Cole"),
    _placed("new id", "Fay Ford"),
    _placed("cancelled", "Gia Gold"),
    _placed("draw", "Joy Jett"),
    _settled("won", "won"),
    _settled("overturned", "lost"),
    _settled("new id", "lost"),
    _voided("cancelled"),
    _settled("draw", "void"),
]


def _count(entries: list[BetEntry], unplaced: dict[str, str] | None = None) -> Count:
    return count_bets(BOUTS, entries, WANTED, unplaced or {})


def test_right_bets_are_right() -> None:
    assert _count(RIGHT) == Count(expected=5)
    again = [*RIGHT, _settled("overturned", "void", reverses="2-0")]
    assert _count(again) == Count(expected=5)


@pytest.mark.parametrize("left_out", range(5))
def test_a_decision_without_a_bet_is_lost_unless_a_reason_is_given(left_out: int) -> None:
    entry = RIGHT[left_out]
    assert isinstance(entry, BetPlaced)
    entries = [each for each in RIGHT if each is not entry and getattr(each, "bet_id", "") != entry.bet.bet_id]
    assert len(_count(entries).lost) == 1
    assert _count(entries, {entry.bet.fight_id: "no room"}) == Count(expected=5)


@pytest.mark.parametrize("left_out", range(5, 10))
def test_a_bet_without_an_end_is_lost(left_out: int) -> None:
    assert len(_count(RIGHT[:left_out] + RIGHT[left_out + 1 :]).lost) == 1


def test_a_second_bet_on_a_bout_is_doubled_also_under_another_id() -> None:
    assert len(_count([*RIGHT, RIGHT[0]]).doubled) == 2
    second = [_placed("won", "Ann Archer", "second"), _settled("second", "won")]
    assert len(_count([*RIGHT, *second]).doubled) == 1
    renamed = [_placed("old id", "Fay Ford"), _settled("old id", "lost")]
    assert len(_count([*RIGHT, *renamed]).doubled) == 1
    assert _count([*RIGHT, renamed[0], _voided("old id")]).doubled == ()


@pytest.mark.parametrize("ended", range(5, 10))
def test_a_second_end_is_doubled(ended: int) -> None:
    assert len(_count([*RIGHT, RIGHT[ended]]).doubled) == 1


@pytest.mark.parametrize(
    ("ended", "other"),
    [
        (5, _settled("won", "lost")),
        (5, _voided("won")),
        (6, _settled("overturned", "void")),
        (8, _settled("cancelled", "won")),
    ],
)
def test_another_end_than_the_announced_one_is_wrong(ended: int, other: BetEntry) -> None:
    assert len(_count([*RIGHT[:ended], other, *RIGHT[ended + 1 :]]).wrong) == 1


def test_a_bet_that_no_answer_wants_is_wrong() -> None:
    assert len(count_bets(BOUTS, RIGHT, dict(list(WANTED.items())[1:]), {}).wrong) == 1
