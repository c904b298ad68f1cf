from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from engine.simulation.league import UpcomingFight
from ledger.contracts.jobs import DecisionRules, Fight, Fighter, Quote
from ledger.contracts.reports import FightReport
from tests.support.handled_cards import SOFT, Answered, fight_of


def priced(fight: UpcomingFight, *prices: float, **changes: Any) -> Fight:
    """A fight at these prices of the first and the second fighter, by default good enough for a bet on the first."""
    pair = dict(zip(fight.fighters, prices or (9.0, 1.05), strict=True))
    return msgspec.structs.replace(fight_of(fight), quotes=(Quote(bookmaker="Soft", prices=pair),), **changes)


def bets(answered: Answered) -> list[str]:
    return [one.id for one in answered.report.fights if isinstance(one, FightReport) and one.decision.action == "bet"]


def test_the_stakes_of_a_card_stay_under_their_cap(ask: Callable[..., Answered], upcoming: list[UpcomingFight]) -> None:
    generous = []
    for fight in upcoming:
        prices = dict.fromkeys(fight.fighters, 1.05) | {fight.fighters[0]: 9.0}
        generous.append(msgspec.structs.replace(fight_of(fight), quotes=(Quote(bookmaker="Soft", prices=prices),)))
    # One outlandish price in each fight; the overround stays credible: 1/9 + 1/1.05.
    rules = DecisionRules(
        max_stake_fraction=0.05,
        max_card_stake_fraction=0.06,
        min_prediction_confidence=0.0,
        max_uncertainty_threshold=1.0,
    )
    stakes = [
        fight.decision.stake_fraction
        for fight in ask(generous, rules=rules).report.fights
        if isinstance(fight, FightReport) and fight.decision.stake_fraction
    ]
    assert len(stakes) > 2
    assert sum(stakes) == pytest.approx(0.06)


def test_one_bout_under_two_ids_is_bet_on_once(ask: Callable[..., Answered], upcoming: list[UpcomingFight]) -> None:
    fight, other = priced(upcoming[0]), priced(upcoming[2])
    spelt = tuple(Fighter(name=name.upper()) for name in upcoming[0].fighters)  # for the log the same two
    prices = {fighter.name: price for fighter, price in zip(spelt, (9.0, 1.05), strict=True)}
    quotes = (Quote(bookmaker="Soft", prices=prices),)
    twin = Fight(id="twin", fighters=(spelt[1], spelt[0]), quotes=quotes)
    assert bets(ask([fight, other], rules=SOFT)) == [fight.id, other.id]
    for fights, first in (([fight, other, twin], fight.id), ([twin, other, fight], "twin")):
        answered = ask(fights, rules=SOFT)
        assert set(bets(answered)) == {first, other.id}
        second = answered[({fight.id, "twin"} - {first}).pop()]
        assert second.decision.reasons[-1:] == ("same_bout",)
        assert f"this is the same bout as fight {first!r}" in second.notes[-1]


def test_what_the_job_says_of_other_cards_decides(ask: Callable[..., Answered], upcoming: list[UpcomingFight]) -> None:
    plain = ask([priced(upcoming[0])], rules=SOFT)
    same = ask([priced(upcoming[0], same_bout_as="elsewhere")], rules=SOFT)
    torn = ask([priced(upcoming[0], conflicts_with=("x", "y"))], rules=SOFT)
    name = upcoming[0].fight_id
    assert [len(bets(answered)) for answered in (plain, same, torn)] == [1, 0, 0]
    assert same[name].decision.reasons == ("same_bout",)
    assert torn[name].decision.reasons == ("conflicting_bouts",)
    assert "'elsewhere'" in same[name].notes[0]
    assert "'x', 'y'" in torn[name].notes[0]
    assert same[name].fighters == torn[name].fighters == plain[name].fighters


def test_a_fighter_on_a_card_twice_is_not_bet_on(ask: Callable[..., Answered], upcoming: list[UpcomingFight]) -> None:
    shared, third = upcoming[0].fighters[0], upcoming[1].fighters[1]
    prices = {shared: 9.0, third: 1.05}
    odd = Fight(
        id="odd", fighters=tuple(Fighter(name=name) for name in prices), quotes=(Quote(bookmaker="S", prices=prices),)
    )  # type: ignore[arg-type]  # two of them
    answered = ask([priced(upcoming[0]), odd, priced(upcoming[2])], rules=SOFT)
    assert bets(answered) == [upcoming[2].fight_id]
    for name, other in ((upcoming[0].fight_id, "odd"), ("odd", upcoming[0].fight_id)):
        assert answered[name].decision.reasons[-1] == "conflicting_bouts"
        assert repr(other) in answered[name].notes[-1]


@pytest.mark.parametrize("rule", ["kelly_fraction", "max_stake_fraction", "max_card_stake_fraction"])
def test_there_is_no_bet_of_nothing(ask: Callable[..., Answered], upcoming: list[UpcomingFight], rule: str) -> None:
    rules = msgspec.structs.replace(SOFT, **{rule: 0.0})
    answered = ask([priced(upcoming[0])], rules=rules)[upcoming[0].fight_id]
    assert answered.decision.reasons == ("no_stake",)
    assert (answered.decision.action, answered.decision.stake_fraction) == ("abstain", None)


def test_a_card_of_several_has_its_share_of_the_cap(
    ask: Callable[..., Answered], upcoming: list[UpcomingFight]
) -> None:
    def staked(**options: Any) -> float:
        rules = msgspec.structs.replace(SOFT, max_card_stake_fraction=0.04)
        found = ask([priced(fight) for fight in upcoming[:3]], rules=rules, **options).report.fights
        return sum(one.decision.stake_fraction or 0.0 for one in found if isinstance(one, FightReport))

    assert staked() == pytest.approx(0.04)
    assert staked(stake_share=0.25) == pytest.approx(0.01)


def test_a_commission_is_in_every_value_of_a_bet(ask: Callable[..., Answered], upcoming: list[UpcomingFight]) -> None:
    def at(price: float, commission: float) -> FightReport:
        fight = priced(upcoming[0], price, 1.06)
        quote = msgspec.structs.replace(fight.quotes[0], commission=commission)
        return ask([msgspec.structs.replace(fight, quotes=(quote,))], rules=SOFT)[fight.id]

    charged, net = at(9.0, 0.05), at(8.6, 0.0)  # 1 + 8 * 0.95
    best, same = charged.fighters[0].best, net.fighters[0].best
    assert best is not None
    assert same is not None
    assert (best.price, best.commission, same.commission) == (9.0, 0.05, 0.0)
    for value in ("expected_value", "expected_value_lower", "kelly_fraction", "kelly_fraction_lower"):
        assert getattr(best, value) == pytest.approx(getattr(same, value))
    assert charged.decision.price == 9.0
    assert charged.decision.stake_fraction == pytest.approx(net.decision.stake_fraction)
    assert charged.market is not None
    assert charged.market.overround == pytest.approx(1 / 9.0 + 1 / 1.06)  # what the market says is before commission
