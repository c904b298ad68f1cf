from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from ledger.contracts.jobs import DecisionRules, Fight, Fighter, PredictCard, Quote
from producer.feed_runner.card_policy import CardPolicy, new_answer_reason
from producer.feed_runner.consensus import consensus

START = datetime(2098, 12, 28, 22, tzinfo=UTC)
READ = START - timedelta(hours=10)
POLICY = CardPolicy(step=0.01)


def quote(bookmaker: str, ana: float, bea: float, commission: float = 0.0, as_of: datetime | None = None) -> Quote:
    return Quote(bookmaker=bookmaker, prices={"Ana": ana, "Bea": bea}, commission=commission, as_of=as_of)


def fight(*quotes: Quote, name: str = "f1", against: str = "Bea") -> Fight:
    return Fight(id=name, fighters=(Fighter(name="Ana"), Fighter(name=against)), quotes=quotes)


def card(*fights: Fight, minutes: float = 0.0) -> PredictCard:
    return PredictCard(
        card_id="c", event_start=START, fights=fights, priced_at=READ + timedelta(minutes=minutes), stake_share=0.5
    )


EVEN = card(fight(quote("a", 1.9, 1.9), quote("b", 1.9, 1.9)))


def test_the_consensus_is_the_mean_without_margins_and_net_of_commissions() -> None:
    assert consensus(fight(), [quote("a", 1.9, 1.9)]) == 0.5
    assert consensus(fight(), [quote("a", 1.5, 3.0)]) == pytest.approx(2 / 3)
    assert consensus(fight(), [quote("a", 1.9, 1.9), quote("b", 1.5, 3.0)]) == pytest.approx((0.5 + 2 / 3) / 2)
    exchange = quote("x", 1.5, 3.0, commission=0.5)  # net 1.25 and 2.0
    assert consensus(fight(), [exchange]) == pytest.approx(2 / 3.25)
    assert consensus(fight(), []) is None
    turned = Fight(id="f1", fighters=(Fighter(name="Bea"), Fighter(name="Ana")))
    assert consensus(turned, [exchange]) == consensus(fight(), [exchange])


def test_a_movement_below_the_step_needs_no_new_answer() -> None:
    # 0.5 to 0.5098 and to 0.5103: the mean of both bookmakers counts.
    small = card(fight(quote("a", 1.9, 1.9), quote("b", 1.83, 1.978)), minutes=1)
    large = card(fight(quote("a", 1.86, 1.938), quote("b", 1.83, 1.978)), minutes=1)
    assert new_answer_reason(EVEN, small, POLICY) is None
    assert new_answer_reason(EVEN, small, CardPolicy(step=0.005)) == "prices"
    assert new_answer_reason(EVEN, large, POLICY) == "prices"


def test_another_set_of_bookmakers_counts_only_if_it_moves_the_consensus() -> None:
    assert new_answer_reason(EVEN, card(fight(quote("c", 1.95, 1.95)), minutes=1), POLICY) is None
    assert new_answer_reason(EVEN, card(fight(quote("c", 2.0, 1.8)), minutes=1), POLICY) == "prices"
    assert new_answer_reason(EVEN, card(fight(), minutes=1), POLICY) == "prices"  # the market has gone
    assert new_answer_reason(card(fight()), card(fight(), minutes=1), POLICY) is None


def test_quotes_that_the_answer_leaves_out_do_not_count() -> None:
    old = quote("z", 5.0, 1.1, as_of=READ - timedelta(days=3))
    assert new_answer_reason(EVEN, card(fight(quote("a", 1.9, 1.9), old), minutes=1), POLICY) is None


def test_what_decides_besides_prices_counts_at_once() -> None:
    two = card(*EVEN.fights, fight(name="f2"), minutes=1)
    assert new_answer_reason(EVEN, two, POLICY) == "fights"
    assert (
        new_answer_reason(two, msgspec.structs.replace(EVEN, priced_at=READ + timedelta(hours=1)), POLICY) == "fights"
    )
    replaced = card(
        fight(Quote(bookmaker="a", prices={"Ana": 1.9, "Cleo": 1.9}), against="Cleo"),
        minutes=1,
    )
    assert new_answer_reason(EVEN, replaced, POLICY) == "fights"
    later = msgspec.structs.replace(EVEN, priced_at=READ + timedelta(minutes=1))
    for changes in ({"stake_share": 0.25}, {"model": "other"}, {"rules": DecisionRules(kelly_fraction=0.1)}):
        assert new_answer_reason(EVEN, msgspec.structs.replace(later, **changes), POLICY) == "fights"
    turned = msgspec.structs.replace(two, fights=two.fights[::-1])
    assert new_answer_reason(two, turned, POLICY) is None  # the order in a feed decides nothing


def test_an_answer_ages_as_its_quotes_do() -> None:
    def reason(minutes: float, policy: CardPolicy = POLICY, before: PredictCard = EVEN) -> str | None:
        after = msgspec.structs.replace(before, priced_at=READ + timedelta(minutes=minutes))
        return new_answer_reason(before, after, policy)

    assert (reason(149), reason(150)) == (None, "age")  # a quarter of ten hours
    assert (reason(29, CardPolicy(max_age_seconds=1800)), reason(30, CardPolicy(max_age_seconds=1800))) == (None, "age")
    strict = msgspec.structs.replace(EVEN, max_quote_age_seconds=600.0)
    assert (reason(9, before=strict), reason(10, before=strict)) == (None, "age")
    assert reason(-1) is None


def test_an_older_reading_needs_no_answer() -> None:
    assert new_answer_reason(EVEN, card(fight(quote("a", 5.0, 1.2)), minutes=-1), POLICY) is None
