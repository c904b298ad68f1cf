from __future__ import annotations

import pytest

from engine.market.bet_decision import BetReason
from ledger.contracts.failures import FailureCode
from ledger.contracts.reports import Bet, Decision, FighterAnswer, FightReport
from producer.output.decision_text import REASON_MEANINGS, break_even, decision_text, paying_price
from producer.output.failure_text import REMEDIES


def bet(price: float, lower: float, commission: float = 0.0) -> Bet:
    """A bet at a price whose probability is at least `lower`."""
    value = lower * (1 + (price - 1) * (1 - commission)) - 1
    return Bet(
        bookmaker="Corner Books",
        price=price,
        expected_value=value,
        expected_value_lower=value,
        kelly_fraction=0.0,
        kelly_fraction_lower=0.0,
        commission=commission,
    )


@pytest.mark.parametrize("commission", [0.0, 0.05])
@pytest.mark.parametrize("lower", [0.2, 0.5, 0.73])
def test_the_price_from_which_a_bet_pays_is_rounded_up(lower: float, commission: float) -> None:
    price = paying_price(bet(1.5, lower, commission))
    assert price is not None
    assert lower * (1 + (price - 1) * (1 - commission)) >= 1 - 1e-9
    assert lower * (1 + (price - 0.01 - 1) * (1 - commission)) < 1
    # At that price the lower bound is the probability at which nothing is won or lost.
    assert break_even(bet(price, lower, commission)) == pytest.approx(lower, abs=0.01)


def test_no_price_pays_at_a_lower_bound_of_zero() -> None:
    assert paying_price(bet(3.0, 0.0)) is None


def test_every_reason_and_every_failure_code_has_words() -> None:
    assert set(REASON_MEANINGS) == {*map(str, BetReason), "model_alarm"}
    assert set(REMEDIES) == set(map(str, FailureCode))


@pytest.mark.parametrize(("stake", "words"), [(0.0213, "2.1%"), (0.001, "0.1%"), (0.00034, "0.03%")])
def test_a_small_stake_is_not_written_as_none(stake: float, words: str) -> None:
    decision = Decision(
        action="bet", reasons=(), fighter="Ann", bookmaker="Corner Books", price=2.0, stake_fraction=stake
    )
    side = FighterAnswer(name="Ann", fighter_id=None, probability=0.5, intervals=(), sampling_interval=None, members={})
    fight = FightReport(id="1", fighters=(side, side), decision=decision)
    assert decision_text(fight, None) == f"bet {words} on Ann at 2.00 by Corner Books"
