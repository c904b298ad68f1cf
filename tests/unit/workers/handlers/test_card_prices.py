from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec
import pytest

from engine.market.devigging import DevigMethod, devig
from engine.simulation.league import UpcomingFight
from ledger.contracts.jobs import Fight, Quote
from tests.support.handled_cards import SOFT, Answered, fight_of


def _quoted(fight: UpcomingFight, *prices: tuple[float, float], swap: bool = False) -> Fight:
    """The fight with a quote of these prices from each of so many bookmakers."""
    quotes = tuple(
        Quote(bookmaker=f"book {number}", prices=dict(zip(fight.fighters, pair, strict=True)))
        for number, pair in enumerate(prices)
    )
    return msgspec.structs.replace(fight_of(fight, swap=swap), quotes=quotes)


PRICES = ((1.90, 1.95), (1.85, 2.00), (1.88, 1.97), (1.95, 1.85))


@pytest.mark.parametrize("swap", [False, True])
def test_a_bet_is_judged_without_the_quote_of_its_bookmaker(
    ask: Callable[..., Answered], upcoming: list[UpcomingFight], swap: bool
) -> None:
    fight = upcoming[0]
    name = fight.fighters[0]
    whole = ask([_quoted(fight, *PRICES, swap=swap)])[fight.fight_id]
    without = ask([_quoted(fight, *PRICES[:3], swap=swap)])[fight.fight_id]
    judged, others = (next(one for one in found.fighters if one.name == name) for found in (whole, without))
    assert judged.best is not None
    assert others.market_aware is not None
    assert (judged.best.bookmaker, judged.best.without_own_quote) == ("book 3", True)
    assert judged.best.market_probability == others.market_probability
    assert judged.best.market_aware_probability == others.market_aware.probability
    assert judged.best.market_edge == others.market_probability * 1.95 - 1.0
    assert judged.best.market_aware_edge == others.market_aware.probability * 1.95 - 1.0
    assert judged.best.market_probability != judged.market_probability


def test_with_two_other_bookmakers_a_bet_is_judged_by_all(
    ask: Callable[..., Answered], upcoming: list[UpcomingFight]
) -> None:
    for side in ask([_quoted(upcoming[0], *PRICES[:3])])[upcoming[0].fight_id].fighters:
        assert side.best is not None
        assert side.market_aware is not None
        assert not side.best.without_own_quote
        assert side.best.market_probability == side.market_probability
        assert side.best.market_aware_probability == side.market_aware.probability


def test_a_job_chooses_how_margins_are_removed(ask: Callable[..., Answered], upcoming: list[UpcomingFight]) -> None:
    fight = _quoted(upcoming[0], (1.25, 4.10))
    reports = {method.value: ask([fight], devig_method=method.value)[fight.id] for method in DevigMethod}
    for method, report in reports.items():
        assert report.market is not None
        assert report.market.method == method
        assert report.fighters[0].market_probability == devig((1.25, 4.10), DevigMethod(method))[0]
    assert ask([fight])[fight.id] == reports["power"]


def test_without_quotes_the_market_aware_answer_is_absent_with_a_reason(
    ask: Callable[..., Answered], upcoming: list[UpcomingFight]
) -> None:
    bare = msgspec.structs.replace(fight_of(upcoming[0]), quotes=())
    answer = ask([bare, fight_of(upcoming[1])])
    assert (answer[bare.id].market_aware_reason, answer[bare.id].market_reason) == ("no_market", "no_quotes")
    assert [side.market_aware for side in answer[bare.id].fighters] == [None, None]
    assert answer[upcoming[1].fight_id].fighters[0].market_aware is not None


def test_invalid_quotes_are_told_and_left_out(ask: Callable[..., Answered], upcoming: list[UpcomingFight]) -> None:
    fight = fight_of(upcoming[0])
    cheap = Quote(bookmaker="Broken", prices=dict.fromkeys(upcoming[0].fighters, 1.1))
    answer = ask([msgspec.structs.replace(fight, quotes=(*fight.quotes, cheap), invalid_quotes=("Other: no price",))])
    assert "invalid_quotes" in answer[fight.id].flags
    assert [note.split(":")[0] for note in answer[fight.id].notes] == ["Other", "Broken"]
    assert answer[fight.id].market == ask([fight])[fight.id].market


def test_prices_that_contradict_each_other_are_for_a_person(
    ask: Callable[..., Answered], upcoming: list[UpcomingFight]
) -> None:
    fight = fight_of(upcoming[0])
    first, second = upcoming[0].fighters
    prices = [{first: 1.3, second: 3.6}, {first: 3.6, second: 1.3}]
    quotes = tuple(Quote(bookmaker=f"Book {number}", prices=pair) for number, pair in enumerate(prices))
    answered = ask([msgspec.structs.replace(fight, quotes=quotes)])[fight.id]
    assert answered.market is not None
    assert answered.market.arbitrage
    assert answered.decision.action == "abstain"
    assert "arbitrage" in answered.decision.reasons


def test_quotes_that_were_all_turned_away_are_invalid_not_absent(
    ask: Callable[..., Answered], upcoming: list[UpcomingFight]
) -> None:
    fight = msgspec.structs.replace(fight_of(upcoming[0]), quotes=(), invalid_quotes=("Broken: no price",))
    answered = ask([fight])[fight.id]
    assert answered.market_reason == "invalid_quotes"
    assert "invalid_quotes" in answered.decision.reasons


def dated(fight: Fight, *ages: timedelta, start: datetime) -> Fight:
    names = [fighter.name for fighter in fight.fighters]
    return msgspec.structs.replace(
        fight,
        quotes=tuple(
            Quote(bookmaker=f"b{number}", prices=dict(zip(names, (2.0, 1.9), strict=True)), as_of=start - age)
            for number, age in enumerate(ages)
        ),
    )


def test_old_prices_are_left_out_one_by_one(ask: Callable[..., Answered], upcoming: list[UpcomingFight]) -> None:
    start, hour = upcoming[0].start, timedelta(hours=1)
    fight = dated(fight_of(upcoming[0]), 4 * hour, 9 * 24 * hour, -270 * 24 * hour, start=start)
    answered = ask([fight], priced_at=start - 4 * hour)[fight.id]
    assert answered.market is not None
    assert answered.market.bookmakers == ("b0",)
    assert answered.flags[-1] == "quotes_left_out"
    assert [note.split(" (")[0] for note in answered.notes] == ["b1: stale", "b2: dated_ahead"]
    assert ask([fight])[fight.id].market == answered.market  # the newest price of the card is the moment, too
    patient = ask([fight], priced_at=start - 4 * hour, quote_age_limit_seconds=10 * 86_400.0)[fight.id]
    assert patient.market is not None
    assert patient.market.bookmakers == ("b0", "b1")


def test_where_all_prices_are_old_there_is_no_market(
    ask: Callable[..., Answered], upcoming: list[UpcomingFight]
) -> None:
    start, hour = upcoming[0].start, timedelta(hours=1)
    fight = dated(fight_of(upcoming[0]), 9 * 24 * hour, 9 * 24 * hour, start=start)
    answered = ask([fight], priced_at=start - hour, rules=SOFT)[fight.id]
    assert (answered.market, answered.market_reason) == (None, "stale_quotes")
    assert answered.decision.reasons == ("stale_quotes",)
    assert [one.best for one in answered.fighters] == [None, None]


def test_one_switched_book_does_not_veto_the_bout(ask: Callable[..., Answered], upcoming: list[UpcomingFight]) -> None:
    first, second = upcoming[0].fighters
    agreed = [{first: 1.5, second: 2.7}, {first: 1.52, second: 2.62}, {first: 1.48, second: 2.75}]
    quotes = [Quote(bookmaker=f"b{number}", prices=prices) for number, prices in enumerate(agreed)]
    switched = Quote(bookmaker="odd", prices={first: 2.7, second: 1.5})
    fight = msgspec.structs.replace(fight_of(upcoming[0]), quotes=tuple(quotes))
    answered = ask([msgspec.structs.replace(fight, quotes=(switched, *quotes))])[fight.id]
    without = ask([fight])[fight.id]
    assert (answered.market, answered.fighters, answered.decision) == (
        without.market,
        without.fighters,
        without.decision,
    )
    assert answered.notes == ("odd: switched_fighters (prices 1.5 and 2.7)",)
    assert "quotes_left_out" in answered.flags
    assert "arbitrage" not in answered.decision.reasons
