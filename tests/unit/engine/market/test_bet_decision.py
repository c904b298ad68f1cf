from __future__ import annotations

import pytest

from engine.errors import ValidationError
from engine.market.bet_decision import (
    BetAction,
    BetDecision,
    BetReason,
    BetSide,
    BettingRules,
    decide_bet,
    expected_value,
    fractional_kelly_stake,
    kelly_stake,
    scale_stakes,
)
from engine.market.consensus import BestPrice
from engine.market.quotes import NoMarketReason

RULES = BettingRules()


def side(probability: float, lower: float | None, price: float | None) -> BetSide:
    return BetSide(probability, lower, None if price is None else BestPrice("Ringside", price))


@pytest.mark.parametrize(
    ("probability", "price", "value", "fraction"),
    [
        (0.6, 2.0, 0.2, 0.2),
        (0.5, 2.0, 0.0, 0.0),
        (0.4, 2.0, -0.2, 0.0),
        (0.25, 5.0, 0.25, 0.0625),
        (1.0, 1.5, 0.5, 1.0),
        (0.0, 9.0, -1.0, 0.0),
    ],
)
def test_expected_value_and_kelly(probability: float, price: float, value: float, fraction: float) -> None:
    assert expected_value(probability, price) == pytest.approx(value)
    assert kelly_stake(probability, price) == pytest.approx(fraction)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (BettingRules(), 0.05),
        (BettingRules(max_stake_fraction=1.0), 0.05),
        (BettingRules(kelly_fraction=1.0), 0.05),
        (BettingRules(kelly_fraction=1.0, max_stake_fraction=1.0), 0.2),
        (BettingRules(kelly_fraction=0.1), 0.02),
        (BettingRules(kelly_fraction=0.0), 0.0),
    ],
)
def test_a_stake_is_a_fraction_of_kelly_under_a_cap(rules: BettingRules, expected: float) -> None:
    assert fractional_kelly_stake(0.6, 2.0, rules) == pytest.approx(expected)


# (first side, second side, absence, expected reasons); a bet is always on the first side. The interval of the first
# reaches from its lower bound to 1 minus the other's.
DECISIONS = [
    ((0.70, 0.60, 1.80), (0.30, 0.20, 2.1), None, (BetReason.LOWER_BOUND_PAYS,)),
    ((0.70, 0.50, 2.10), (0.30, 0.10, 1.8), None, (BetReason.LOWER_BOUND_PAYS,)),
    ((0.70, 0.50, 2.10), (0.30, 0.09, 1.8), None, (BetReason.HIGH_UNCERTAINTY,)),
    ((0.70, 0.50, 1.80), (0.30, 0.20, 2.1), None, (BetReason.PRICE_TOO_LOW,)),
    ((0.70, 0.50, 2.00), (0.30, 0.20, 1.9), None, (BetReason.PRICE_TOO_LOW,)),
    ((0.70, 0.40, 1.80), (0.30, 0.10, 2.1), None, (BetReason.PRICE_TOO_LOW, BetReason.HIGH_UNCERTAINTY)),
    ((0.50, 0.40, 2.60), (0.50, 0.40, 1.3), None, (BetReason.LOWER_BOUND_PAYS,)),
    ((0.49, 0.40, 2.60), (0.51, 0.40, 1.3), None, (BetReason.LOW_CONFIDENCE,)),
    ((0.40, 0.30, 4.00), (0.60, 0.50, 1.3), None, (BetReason.LOW_CONFIDENCE,)),
    ((0.40, 0.30, 4.00), (0.60, 0.20, 1.3), None, (BetReason.LOW_CONFIDENCE, BetReason.HIGH_UNCERTAINTY)),
    ((0.50, 0.45, 2.50), (0.50, 0.45, 2.5), None, (BetReason.BOTH_SIDES_PAY,)),
    ((0.50, 0.45, 2.50), (0.50, 0.45, 1.6), None, (BetReason.LOWER_BOUND_PAYS,)),
    ((0.70, 0.60, None), (0.30, 0.20, None), None, (BetReason.NO_QUOTES,)),
    ((0.70, 0.40, None), (0.30, 0.10, None), None, (BetReason.NO_QUOTES, BetReason.HIGH_UNCERTAINTY)),
    ((0.70, 0.60, None), (0.30, 0.20, None), NoMarketReason.STALE_QUOTES, (BetReason.STALE_QUOTES,)),
    ((0.70, 0.60, None), (0.30, 0.20, None), NoMarketReason.INVALID_QUOTES, (BetReason.INVALID_QUOTES,)),
    ((0.70, None, 1.80), (0.30, None, 2.1), None, (BetReason.NO_INTERVAL,)),
    ((0.70, None, None), (0.30, None, None), NoMarketReason.NO_QUOTES, (BetReason.NO_QUOTES, BetReason.NO_INTERVAL)),
    ((0.70, 0.60, 1.80), (0.30, 0.20, None), None, (BetReason.LOWER_BOUND_PAYS,)),
]


@pytest.mark.parametrize(("first", "second", "absence", "reasons"), DECISIONS)
def test_decisions(
    first: tuple[float, float | None, float | None],
    second: tuple[float, float | None, float | None],
    absence: NoMarketReason | None,
    reasons: tuple[BetReason, ...],
) -> None:
    for sides, chosen in (((side(*first), side(*second)), 0), ((side(*second), side(*first)), 1)):
        decision = decide_bet(sides, RULES, no_market_reason=absence)
        assert decision.reasons == reasons
        if reasons == (BetReason.LOWER_BOUND_PAYS,):
            assert (decision.action, decision.side, decision.best_price) == (
                BetAction.BET,
                chosen,
                sides[chosen].best_price,
            )
        else:
            assert decision == BetDecision(BetAction.ABSTAIN, reasons)


@pytest.mark.parametrize(("threshold", "reasons"), [(0.0, 1), (0.19, 1), (0.21, 0), (1.0, 0)])
def test_uncertainty_is_the_width_of_the_interval_that_decides(threshold: float, reasons: int) -> None:
    decision = decide_bet(
        (side(0.70, 0.60, 1.80), side(0.30, 0.20, 2.1)), BettingRules(max_uncertainty_threshold=threshold)
    )
    assert decision.reasons.count(BetReason.HIGH_UNCERTAINTY) == reasons


def test_the_stake_is_kelly_at_the_lower_bound() -> None:
    decision = decide_bet((side(0.70, 0.60, 1.80), side(0.30, 0.20, 2.1)), BettingRules(kelly_fraction=0.5))
    assert decision.stake_fraction == pytest.approx(0.5 * (0.60 * 1.80 - 1.0) / 0.80)


@pytest.mark.parametrize("rules", [BettingRules(kelly_fraction=0.0), BettingRules(max_stake_fraction=0.0)])
def test_a_stake_of_nothing_is_no_bet(rules: BettingRules) -> None:
    decision = decide_bet((side(0.70, 0.60, 1.80), side(0.30, 0.20, 2.1)), rules)
    assert decision == BetDecision(BetAction.ABSTAIN, (BetReason.NO_STAKE,))


def test_a_commission_is_in_the_decision_and_in_the_stake() -> None:
    other = side(0.30, 0.20, 2.1)

    def first(commission: float) -> BetSide:
        return BetSide(0.70, 0.60, BestPrice("Exchange", 1.70, commission))

    free, charged = decide_bet((first(0.0), other), RULES), decide_bet((first(0.02), other), RULES)
    assert free.stake_fraction == pytest.approx(0.25 * (0.60 * 1.70 - 1.0) / 0.70)
    assert charged.stake_fraction == pytest.approx(0.25 * (0.60 * 1.686 - 1.0) / 0.686)
    assert decide_bet((first(0.05), other), RULES).reasons == (
        BetReason.PRICE_TOO_LOW,
    )  # 0.6 times 1.665 is less than 1


def test_a_fight_that_others_bar_is_not_bet_on() -> None:
    sides = (side(0.70, 0.60, 1.80), side(0.30, 0.20, 2.1))
    decision = decide_bet(sides, RULES, other_reasons=(BetReason.SAME_BOUT,))
    assert decision == BetDecision(BetAction.ABSTAIN, (BetReason.SAME_BOUT,))


def test_confidence_can_be_lowered_for_outsiders() -> None:
    sides = (side(0.40, 0.30, 4.00), side(0.60, 0.50, 1.3))
    assert decide_bet(sides, BettingRules(min_prediction_confidence=0.4)).action is BetAction.BET


@pytest.mark.parametrize(
    ("stakes", "cap", "expected"),
    [
        ([], 0.1, ()),
        ([0.02, 0.0, 0.03], 0.1, (0.02, 0.0, 0.03)),
        ([0.05, 0.05], 0.1, (0.05, 0.05)),
        ([0.04, 0.0, 0.16], 0.1, (0.02, 0.0, 0.08)),
        ([0.04, 0.16], 0.0, (0.0, 0.0)),
    ],
)
def test_the_stakes_of_a_card_stay_under_its_cap(stakes: list[float], cap: float, expected: tuple[float, ...]) -> None:
    assert scale_stakes(stakes, cap) == pytest.approx(expected)


@pytest.mark.parametrize(("stakes", "cap"), [([0.1, -0.1], 0.5), ([1.1], 0.5), ([0.1], 1.1), ([float("nan")], 0.5)])
def test_stakes_are_shares_of_the_bankroll(stakes: list[float], cap: float) -> None:
    with pytest.raises(ValidationError, match="in \\[0, 1\\]"):
        scale_stakes(stakes, cap)


@pytest.mark.parametrize("name", BettingRules.__slots__)
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_rules_outside_their_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValidationError, match=name):
        BettingRules(**{name: value})


@pytest.mark.parametrize(
    ("probability", "lower", "price", "message"),
    [
        (1.1, 0.5, 2.0, "probability"),
        (float("nan"), 0.5, 2.0, "probability"),
        (0.6, 0.7, 2.0, "lower bound"),
        (0.6, -0.1, 2.0, "lower bound"),
        (0.6, 0.5, 1.0, "decimal price"),
        (0.6, 0.5, float("inf"), "decimal price"),
    ],
)
def test_a_side_that_cannot_be_is_refused(probability: float, lower: float, price: float, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        side(probability, lower, price)


def test_sides_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValidationError, match="add up to 1"):
        decide_bet((side(0.7, 0.6, 1.8), side(0.4, 0.2, 2.1)), RULES)
