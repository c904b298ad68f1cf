from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Literal

import msgspec
import pytest

from engine.data.fighter_names import fight_key
from ledger.contracts.failures import Failure, FailureCode
from ledger.contracts.jobs import Corner, Fight, Fighter, PredictCard
from ledger.contracts.prediction_record import PredictionInterval, PredictionPage, PredictionRecord
from ledger.contracts.reports import (
    CardReport,
    Decision,
    FighterAnswer,
    FightFailure,
    FightReport,
    Interval,
    MarketAware,
    ServedState,
)
from workers.handlers.prediction.predict_card import CardAnswer
from workers.handlers.prediction.prediction_log import build_page

START = datetime(2099, 1, 3, 23, 30, tzinfo=UTC)
MODEL = "ab" * 32
BINS = "012345"
Action = Literal["bet", "abstain"]


def fighter_answer(name: str, p: float, market: float | None) -> FighterAnswer:
    return FighterAnswer(
        name=name,
        fighter_id=None,
        probability=p,
        intervals=(Interval(level=0.8, lower=p - 0.125, upper=p + 0.125, method="anchored"),),
        sampling_interval=None,
        members={},
        market_probability=market,
        market_aware=None if market is None else MarketAware(probability=market, band=()),
    )


def card(
    names: tuple[str, str], corner: Corner = "unknown", decision: Decision | None = None, market: float | None = 0.375
) -> PredictionPage | None:
    fight = Fight(id="1", fighters=(Fighter(name=names[0], corner=corner), Fighter(name=names[1])))
    lost = Fight(id="2", fighters=(Fighter(name="C"), Fighter(name="D")))
    reported = FightReport(
        id="1",
        fighters=(
            fighter_answer(names[0], 0.25, market),
            fighter_answer(names[1], 0.75, None if market is None else 1 - market),
        ),
        decision=decision or Decision(action="abstain", reasons=("price_too_low",)),
    )
    failed = FightFailure(id="2", names=("C", "D"), failure=Failure(code=FailureCode.UNKNOWN_FIGHTER, message="who?"))
    state = ServedState(digest=MODEL, cutoff=date(2098, 12, 27), age_days=7)
    report = CardReport(card_id="c", model=MODEL, data_cutoff=date(2098, 1, 1), state=state, fights=(reported, failed))
    return build_page(
        PredictCard(card_id="c", event_start=START, fights=(fight, lost)),
        CardAnswer(report, {"1": BINS}),
        "job",
        "live",
    )


def only(page: PredictionPage | None) -> PredictionRecord:
    assert page is not None
    (entry,) = page.entries
    return msgspec.json.decode(entry, type=PredictionRecord)


def test_a_fight_is_said_of_the_first_by_name_however_it_is_listed() -> None:
    entry = only(card(("Ana", "Bea")))
    assert (entry.fighters, entry.probability, entry.market) == (("Ana", "Bea"), 0.25, 0.375)
    turned = only(card(("Zoe", "Bea")))
    assert (turned.fighters, turned.probability, turned.market) == (("Bea", "Zoe"), 0.75, 0.625)
    assert turned.intervals == (PredictionInterval(0.8, 0.625, 0.875),)
    assert turned.market_aware == 0.625
    assert entry.bins == BINS
    assert entry.state_cutoff == date(2098, 12, 27)
    assert (entry.day, entry.job_id, entry.role, entry.model) == (START.date(), "job", "live", MODEL)


def test_a_fight_that_failed_is_not_noted() -> None:
    page = card(("Ana", "Bea"))
    assert page is not None
    assert page.names == (f"ana v bea|{MODEL}|live",)
    assert (page.day, page.start_ms) == (START.date(), int(START.timestamp() * 1000))


@pytest.mark.parametrize(
    ("names", "corner", "red"),
    [
        (("Ana", "Bea"), "red", 0),
        (("Ana", "Bea"), "blue", 1),
        (("Zoe", "Bea"), "red", 1),
        (("Zoe", "Bea"), "blue", 0),
        (("Ana", "Bea"), "unknown", None),
    ],
)
def test_the_red_corner_is_kept(names: tuple[str, str], corner: Corner, red: int | None) -> None:
    assert only(card(names, corner)).red == red


@pytest.mark.parametrize(("bet", "position"), [("Bea", 0), ("Zoe", 1)])
def test_whom_the_bet_was_on_is_kept(bet: str, position: int) -> None:
    decision = Decision(action="bet", reasons=("lower_bound_pays",), fighter=bet, bookmaker="b", price=2.0)
    entry = only(card(("Zoe", "Bea"), decision=decision))
    assert (entry.action, entry.bet_on, entry.reasons) == ("bet", position, ("lower_bound_pays",))


def test_a_fighter_whom_an_abstention_names_is_no_bet() -> None:
    decision = Decision(action="abstain", reasons=("low_confidence",), fighter="Bea", bookmaker="b", price=2.0)
    assert only(card(("Zoe", "Bea"), decision=decision)).bet_on is None


def test_without_a_market_there_is_none() -> None:
    entry = only(card(("Ana", "Bea"), market=None))
    assert (entry.market, entry.market_aware) == (None, None)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("José Aldo", "Bea O'Neil"), ("BEA ONEIL", "jose aldo")),
        (("Jan Błachowicz", "Al Iaquinta"), ("Al Iaquinta", "Jan Blachowicz")),
        (("Sergey Pavlovich", "Bea Jr."), ("Bea jr", "Sergey  Pavlovich")),
    ],
)
def test_spellings_of_one_fight_have_one_name(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert fight_key(one) == fight_key(other)


def test_father_and_son_have_two_names() -> None:
    assert fight_key(("Bea Lee Jr.", "Ana")) != fight_key(("Bea Lee", "Ana"))
