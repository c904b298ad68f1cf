from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ledger.contracts.bets import BetEntry, BetPlaced, BetResult, BetSettled, BetVoided, PlacedBet
from ledger.contracts.job_state import JobState, Outcome
from ledger.contracts.reports import CardReport, Decision, FighterAnswer, FightReport
from producer.season.bet_count import BetDecisions, bet_decisions, count_bets
from producer.season.count import Count

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
FIGHTERS = {
    "won": "Ann Archer",
    "overturned": "Cleo Cole",
    "new id": "Fay Ford",
    "old id": "Fay Ford",
    "cancelled": "Gia Gold",
    "draw": "Joy Jett",
}
STOOD = dict.fromkeys(["won", "overturned", "new id", "cancelled", "draw"], "job")
DECISIONS = BetDecisions({("job", fight_id): fighter for fight_id, fighter in FIGHTERS.items()}, STOOD)


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


def _count(entries: list[BetEntry], decisions: BetDecisions = DECISIONS) -> Count:
    return count_bets(BOUTS, entries, decisions)


def test_right_bets_are_right() -> None:
    assert _count(RIGHT) == Count(expected=5)
    again = [*RIGHT, _settled("overturned", "void", reverses="2-0")]
    assert _count(again) == Count(expected=5)


@pytest.mark.parametrize("left_out", range(5))
def test_a_decision_without_a_bet_is_lost_if_it_stood(left_out: int) -> None:
    entry = RIGHT[left_out]
    assert isinstance(entry, BetPlaced)
    entries = [each for each in RIGHT if each is not entry and getattr(each, "bet_id", "") != entry.bet.bet_id]
    assert len(_count(entries).lost) == 1
    stood = {fight_id: job_id for fight_id, job_id in STOOD.items() if fight_id != entry.bet.fight_id}
    assert _count(entries, DECISIONS._replace(stood=stood)) == Count(expected=4)


@pytest.mark.parametrize("left_out", range(5, 10))
def test_a_bet_without_an_end_is_lost(left_out: int) -> None:
    assert len(_count(RIGHT[:left_out] + RIGHT[left_out + 1 :]).lost) == 1


def test_a_bet_may_end_as_corrected_if_the_correction_was_the_first_that_was_known() -> None:
    assert _count([*RIGHT[:6], _settled("overturned", "void"), *RIGHT[7:]]) == Count(expected=5)


def test_a_bet_on_a_fight_that_vanished_too_late_may_stay_open() -> None:
    entries = [entry for entry in RIGHT if getattr(entry, "bet_id", "") != "cancelled"]
    assert len(_count(entries).lost) == 1
    assert count_bets(BOUTS, entries, DECISIONS, {"cancelled"}) == Count(expected=5)


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
        (6, _settled("overturned", "won")),
        (8, _settled("cancelled", "won")),
    ],
)
def test_another_end_than_the_announced_one_is_wrong(ended: int, other: BetEntry) -> None:
    assert len(_count([*RIGHT[:ended], other, *RIGHT[ended + 1 :]]).wrong) == 1


def test_a_bet_that_its_answer_does_not_say_is_wrong() -> None:
    other = {**DECISIONS.fighters, ("job", "won"): "Bea Baker"}
    assert len(_count(RIGHT, DECISIONS._replace(fighters=other)).wrong) == 1
    assert len(_count(RIGHT, DECISIONS._replace(fighters={})).wrong) == 5


def _outcome(job_id: str, submitted: float, settled: float, action: str, superseded_by: str | None = None) -> Outcome:
    def answer(name: str) -> FighterAnswer:
        return FighterAnswer(
            name=name, fighter_id=None, probability=0.5, intervals=(), sampling_interval=None, members={}
        )

    decision = Decision(action=action, reasons=(), fighter="Ann Archer")  # type: ignore[arg-type]
    fight = FightReport(id="won", fighters=(answer("Ann Archer"), answer("Bea Baker")), decision=decision)
    return Outcome(
        job_id=job_id,
        kind="predict_card",
        state=JobState.SUCCEEDED,
        attempt=1,
        submitted_at=DAY + timedelta(seconds=submitted),
        settled_at=DAY + timedelta(seconds=settled),
        report=CardReport(card_id="c", model="m", data_cutoff=DAY.date(), fights=(fight,)),
        superseded_by=superseded_by,
    )


@pytest.mark.parametrize(
    ("next_submitted", "bell", "stood"), [(9.0, 60.0, True), (4.0, 60.0, False), (9.0, 5.0, False), (None, 60.0, True)]
)
def test_a_decision_stands_until_it_is_superseded_or_the_bell_rings(
    next_submitted: float | None, bell: float, stood: bool
) -> None:
    outcomes = [_outcome("first", 0.0, 1.0, "bet", None if next_submitted is None else "next")]
    if next_submitted is not None:
        outcomes.append(_outcome("next", next_submitted, next_submitted + 1, "abstain"))
    found = bet_decisions(outcomes, {"won": (DAY + timedelta(seconds=bell)).timestamp()}, patience_seconds=5.0)
    assert found.fighters == {("first", "won"): "Ann Archer"}
    assert found.stood == ({"won": "first"} if stood else {})
