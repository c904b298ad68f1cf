from __future__ import annotations

import itertools
import math
from datetime import UTC, datetime
from typing import Any

import pytest

from engine.market.bet_decision import kelly_stake
from engine.market.simultaneous_kelly import KellyBet, simultaneous_kelly
from ledger.contracts.bets import BettingRoom
from ledger.contracts.failures import Failure, FailureCode
from ledger.contracts.jobs import DecisionRules, Fight, Fighter, PredictCard
from ledger.contracts.reports import Decision, FighterAnswer, FightFailure, FightReport
from workers.handlers.prediction.card_stakes import set_stakes

FREE = DecisionRules(kelly_fraction=1.0, max_stake_fraction=1.0, max_card_stake_fraction=1.0)
BETS = (KellyBet(0.6, 2.0), KellyBet(0.4, 3.0), KellyBet(0.7, 1.6))
BOOKMAKERS = ("Alpha", "Alpha", "Beta")


def fight(number: int, *, bets: bool = True) -> FightReport:
    sides = [
        FighterAnswer(name=name, fighter_id=None, probability=0.5, intervals=(), sampling_interval=None, members={})
        for name in ("Ana", "Bea")
    ]
    decision = Decision(action="abstain", reasons=("price_too_low",))
    if bets:
        decision = Decision(
            action="bet",
            reasons=("lower_bound_pays",),
            fighter="Ana",
            bookmaker=BOOKMAKERS[number],
            price=BETS[number].price,
            stake_fraction=0.5,
        )
    return FightReport(id=str(number), fighters=(sides[0], sides[1]), decision=decision)


def card(rules: DecisionRules = FREE, share: float = 1.0) -> PredictCard:
    fights = (Fight(id="0", fighters=(Fighter(name="Ana"), Fighter(name="Bea"))),)
    return PredictCard(
        card_id="card", event_start=datetime(2099, 1, 1, tzinfo=UTC), fights=fights, rules=rules, stake_share=share
    )


def decisions(room: BettingRoom | None = None, job: PredictCard | None = None) -> list[Decision]:
    found = set_stakes([fight(number) for number in range(3)], dict(enumerate(BETS)), job or card(), room)
    return [one.decision for one in found if isinstance(one, FightReport)]


def stakes(room: BettingRoom | None = None, job: PredictCard | None = None) -> list[float | None]:
    return [decision.stake_fraction for decision in decisions(room, job)]


def room(**fields: Any) -> BettingRoom:
    return BettingRoom(mode="paper", bankroll=10_000, **fields)


WHOLE = simultaneous_kelly(BETS)


def test_the_stakes_are_chosen_together() -> None:
    assert stakes() == [*WHOLE]
    quarter = card(DecisionRules(kelly_fraction=0.25, max_stake_fraction=0.04, max_card_stake_fraction=1.0))
    assert stakes(job=quarter) == [min(0.25 * stake, 0.04) for stake in WHOLE]


def test_one_bet_has_the_stake_that_it_has_alone() -> None:
    [answered, other, failed] = set_stakes(
        [
            fight(0),
            fight(1, bets=False),
            FightFailure(id="2", names=("A", "B"), failure=Failure(code=FailureCode.UNKNOWN_FIGHTER, message="")),
        ],
        {0: BETS[0]},
        card(),
        None,
    )
    assert isinstance(answered, FightReport)
    assert answered.decision.stake_fraction == kelly_stake(*BETS[0])
    assert other == fight(1, bets=False)
    assert isinstance(failed, FightFailure)


def test_the_rules_of_the_card_bound_the_sum() -> None:
    rules = DecisionRules(kelly_fraction=1.0, max_stake_fraction=1.0, max_card_stake_fraction=0.2)
    found = stakes(job=card(rules, share=0.5))
    assert math.fsum(stake or 0.0 for stake in found) == pytest.approx(0.1)
    assert found[0] == pytest.approx(WHOLE[0] * 0.1 / sum(WHOLE))


def test_a_room_that_is_large_enough_changes_nothing() -> None:
    large = room(
        total=10_000, card=10_000, week=10_000, fights={"0": 10_000}, bookmakers={"Alpha": 10_000, "Beta": 10_000}
    )
    assert decisions(large) == decisions()


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"fights": {"0": 100, "1": 0}}, [0.01, None, WHOLE[2]]),
        ({"bookmakers": {"Beta": 200}}, [WHOLE[0], WHOLE[1], 0.02]),
        ({"bookmakers": {"Alpha": 0}}, [None, None, WHOLE[2]]),
        ({"card": 1000}, [0.1 * stake / sum(WHOLE) for stake in WHOLE]),
        ({"week": 1000}, [0.1 * stake / sum(WHOLE) for stake in WHOLE]),
        ({"total": 0}, [None, None, None]),
        ({"card": 1000, "fights": {"0": 0}}, [None, *(0.1 * stake / sum(WHOLE[1:]) for stake in WHOLE[1:])]),
    ],
)
def test_a_stake_shrinks_to_what_fits(limits: dict[str, Any], expected: list[float | None]) -> None:
    found = decisions(room(**limits))
    assert [decision.stake_fraction for decision in found] == [
        None if stake is None else pytest.approx(stake, rel=1e-12) for stake in expected
    ]
    for decision, stake in zip(found, expected, strict=True):
        assert decision.reasons == (("exposure_full",) if stake is None else ("lower_bound_pays",))


def test_a_stake_below_the_smallest_is_no_bet() -> None:
    limits = {"fights": {"0": 99, "1": 100}, "min_stake": 100}
    assert [decision.reasons for decision in decisions(room(**limits))] == [
        ("exposure_full",),
        ("lower_bound_pays",),
        ("lower_bound_pays",),
    ]
    small = card(DecisionRules(kelly_fraction=0.01))
    assert [decision.reasons for decision in decisions(room(min_stake=1000), small)] == [("no_stake",)] * 3


def test_a_smaller_stake_is_noted() -> None:
    found = set_stakes([fight(0)], {0: BETS[0]}, card(), room(fights={"0": 100}))
    assert isinstance(found[0], FightReport)
    assert found[0].notes == (f"open bets reduce the stake of {kelly_stake(*BETS[0])!r} of the bankroll to 0.01",)


def test_the_stop_ends_every_bet() -> None:
    assert {decision.reasons for decision in decisions(room(stopped=True))} == {("drawdown_stop",)}


def test_no_bankroll_leaves_no_room() -> None:
    ruined = BettingRoom(mode="paper", bankroll=0, total=0)
    assert {decision.reasons for decision in decisions(ruined)} == {("exposure_full",)}


def test_the_order_of_the_fights_changes_no_bit() -> None:
    limits = room(total=900, card=800, fights={"0": 300, "1": 250}, bookmakers={"Alpha": 400, "Beta": 150})
    expected = dict(enumerate(stakes(limits)))
    for order in itertools.permutations(range(3)):
        bets = {place: BETS[number] for place, number in enumerate(order)}
        found = set_stakes([fight(number) for number in order], bets, card(), limits)
        assert [one.decision.stake_fraction for one in found if isinstance(one, FightReport)] == [
            expected[number] for number in order
        ]
