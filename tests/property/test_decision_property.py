from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from engine.market.bet_decision import (
    BetAction,
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

SHARES = st.floats(0.0, 1.0)
PRICES = st.floats(1.001, 1001.0)
RULES = st.builds(
    BettingRules,
    min_prediction_confidence=SHARES,
    max_uncertainty_threshold=SHARES,
    kelly_fraction=SHARES,
    max_stake_fraction=SHARES,
)


@st.composite
def fights(draw: st.DrawFn) -> tuple[BetSide, BetSide]:
    """Two sides that agree with each other, with or without interval and prices."""
    probability = draw(SHARES)
    best = draw(st.tuples(*[st.none() | st.builds(BestPrice, st.sampled_from("abc"), PRICES)] * 2))
    lower: tuple[float | None, float | None] = (None, None)
    if draw(st.booleans()):
        lower = probability * draw(SHARES), (1.0 - probability) * draw(SHARES)
    return BetSide(probability, lower[0], best[0]), BetSide(1.0 - probability, lower[1], best[1])


@given(fights(), RULES, st.sampled_from(list(NoMarketReason)))
def test_swapping_the_fighters_swaps_the_decision(
    sides: tuple[BetSide, BetSide], rules: BettingRules, absence: NoMarketReason
) -> None:
    here = decide_bet(sides, rules, no_market_reason=absence)
    there = decide_bet((sides[1], sides[0]), rules, no_market_reason=absence)
    assert (here.action, here.reasons, here.best_price, here.stake_fraction) == (
        there.action,
        there.reasons,
        there.best_price,
        there.stake_fraction,
    )
    assert (here.side is None) == (there.side is None)
    if here.side is not None:
        assert here.side + there.side == 1  # type: ignore[operator] - both are given, as just asserted


@given(fights(), RULES)
def test_a_bet_satisfies_every_rule_and_an_abstention_says_which_not(
    sides: tuple[BetSide, BetSide], rules: BettingRules
) -> None:
    decision = decide_bet(sides, rules)
    paying = [side for side in sides if side.lower and side.best_price and side.lower * side.best_price.price > 1.0]
    bounds = [side.lower for side in sides if side.lower is not None]
    wide = len(bounds) == 2 and 1.0 - sum(bounds) > rules.max_uncertainty_threshold
    likely = len(paying) == 1 and paying[0].probability >= rules.min_prediction_confidence
    staked = (
        likely
        and fractional_kelly_stake(
            paying[0].lower or 0.0, paying[0].best_price.price if paying[0].best_price else 2.0, rules
        )
        > 0.0
    )
    assert (decision.action is BetAction.BET) == (likely and not wide and staked)
    assert (BetReason.NO_STAKE in decision.reasons) == (likely and not wide and not staked)
    if decision.action is BetAction.BET:
        assert decision.reasons == (BetReason.LOWER_BOUND_PAYS,)
        assert sides[decision.side or 0] is paying[0]
        assert decision.best_price == paying[0].best_price
        assert decision.stake_fraction is not None
        assert 0.0 < decision.stake_fraction <= rules.max_stake_fraction
    else:
        assert decision.reasons
        assert BetReason.LOWER_BOUND_PAYS not in decision.reasons
        assert list(decision.reasons) == sorted(set(decision.reasons), key=list(BetReason).index)
        assert (BetReason.HIGH_UNCERTAINTY in decision.reasons) == wide
        assert (decision.side, decision.best_price, decision.stake_fraction) == (None, None, None)


@given(SHARES, SHARES, PRICES)
def test_kelly_grows_with_the_probability_and_is_positive_only_with_an_edge(
    lower: float, higher: float, price: float
) -> None:
    assume(lower <= higher)
    assert 0.0 <= kelly_stake(lower, price) <= kelly_stake(higher, price) <= 1.0 + 1e-12
    assert (kelly_stake(lower, price) > 0.0) == (expected_value(lower, price) > 0.0)


@given(st.lists(SHARES, max_size=15), SHARES, st.randoms(use_true_random=False))
def test_scaling_keeps_the_cap_the_proportions_and_ignores_order(
    stakes: list[float], cap: float, random: object
) -> None:
    scaled = scale_stakes(stakes, cap)
    assert sum(scaled) <= max(cap, 0.0) + 1e-12
    assert all(after <= before + 1e-15 for before, after in zip(stakes, scaled, strict=True))
    for before, after in zip(stakes, scaled, strict=True):
        assert after * sum(stakes) == pytest.approx(before * sum(scaled), abs=1e-12)
    order = list(range(len(stakes)))
    random.shuffle(order)  # type: ignore[attr-defined] - hypothesis types its Random as object
    assert scale_stakes([stakes[place] for place in order], cap) == tuple(scaled[place] for place in order)
