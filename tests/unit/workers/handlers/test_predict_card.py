from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from engine.data.feature_groups import FEATURE_GROUPS
from engine.data.fighter_snapshot import FighterRequest, FightRequest
from engine.data.rating_parts import PART_GROUPS
from engine.ensemble import ProductionEnsembleManager
from engine.errors import BootstrapError, BundleNotFoundError, ValidationError
from engine.market.consensus import DevigMethod, devig
from engine.model import inference
from engine.model.bundle import Bundle
from engine.model.contributions import explain_rows
from engine.simulation.league import League, UpcomingFight
from engine.statistics.complements import logit_to_probability
from ledger.contracts import codec
from ledger.contracts.controls import Controls
from ledger.contracts.failures import FailureCode
from ledger.contracts.jobs import (
    CheckHealth,
    DecisionRules,
    DeclaredRecord,
    Fight,
    Fighter,
    IntervalOptions,
    PredictCard,
    Quote,
)
from ledger.contracts.reports import CardReport, FightFailure, FightReport
from tests.support.handler_context import claim_of, context_of
from workers.failures import to_failure
from workers.handlers.check_health import check_health
from workers.handlers.prediction.predict_card import predict_card
from workers.jobs.context import JobContext
from workers.models.model_cache import ModelCache, load_manager
from workers.models.model_store import Store

NONE_SET = Controls()


@dataclass
class Answered:
    """A report, and its fights by id."""

    report: CardReport

    def __getitem__(self, fight_id: str) -> FightReport:
        fight = next(fight for fight in self.report.fights if fight.id == fight_id)
        assert isinstance(fight, FightReport)
        return fight


@pytest.fixture
def context(bundle: Bundle) -> JobContext:
    names = {"champion": bundle.digest}
    models = ModelCache(
        Store(bundle.folder.parent).fetch, names.get, lambda folder: load_manager(folder, max_memory_mb=4096.0)
    )
    # A handler for cards and health never asks the ledger itself; the cache does, through `names`.
    return context_of(claim_of(), models, started_seconds=time.monotonic())


def _fight(fight: UpcomingFight, *, swap: bool = False, corner: str = "unknown") -> Fight:
    fighters = [Fighter(name=fight.fighters[0], corner=corner), Fighter(name=fight.fighters[1])]  # type: ignore[arg-type]
    quotes = [
        Quote(bookmaker=quote.bookmaker, prices=dict(zip(fight.fighters, quote.prices, strict=True)))
        for quote in fight.quotes
    ]
    return Fight(
        id=fight.fight_id,
        fighters=tuple(reversed(fighters)) if swap else tuple(fighters),  # type: ignore[arg-type]
        quotes=tuple(reversed(quotes)) if swap else tuple(quotes),
        weight_class=fight.weight_class,
    )


def _card(fights: list[Fight], league: League, **options: object) -> PredictCard:
    start = league.upcoming[0][0].start
    return PredictCard(card_id="card", event_start=start, fights=tuple(fights), **options)  # type: ignore[arg-type]


@pytest.fixture
def ask(context: JobContext, league: League) -> Callable[..., Answered]:
    def answer(fights: list[Fight], *, controls: Controls = NONE_SET, **options: object) -> Answered:
        claim = msgspec.structs.replace(context.claim, controls=controls)
        return Answered(predict_card(_card(fights, league, **options), replace(context, claim=claim)))

    return answer


@pytest.fixture
def upcoming(league: League) -> list[UpcomingFight]:
    return list(league.upcoming[0])


def test_a_card_is_answered_whole_and_travels(
    ask: Callable[..., Answered], upcoming: list[UpcomingFight], bundle: Bundle
) -> None:
    report = ask([_fight(fight) for fight in upcoming]).report
    assert report.model == bundle.digest
    assert [fight.id for fight in report.fights] == [fight.fight_id for fight in upcoming]
    for fight in report.fights:
        assert isinstance(fight, FightReport)
        first, second = fight.fighters
        assert first.probability + second.probability == 1.0
        assert first.market_probability + second.market_probability == pytest.approx(1.0)
        assert [interval.level for interval in first.intervals] == [0.8, 0.95]
        made_of = fight.width_shares
        assert made_of is not None
        assert made_of.market_noise + made_of.not_learnt + made_of.allowance == pytest.approx(1.0)
        assert first.sampling_interval is not None
        assert first.sampling_interval.monte_carlo_error == second.sampling_interval.monte_carlo_error
        assert first.market_aware is not None
        assert first.market_aware.probability + second.market_aware.probability == 1.0
        assert [(one.level, one.method) for one in first.market_aware.band] == [
            (0.8, "market_assumption"),
            (0.95, "market_assumption"),
        ]
        assert fight.market_aware_reason is None
        assert fight.market is not None
        assert "corner_unknown" in fight.flags
    assert codec.decode_report(codec.encode(report)) == report


def test_the_order_of_listing_never_changes_an_answer(
    ask: Callable[..., Answered], upcoming: list[UpcomingFight]
) -> None:
    listed = ask([_fight(fight, corner="red") for fight in upcoming])
    swapped = ask([_fight(fight, corner="red", swap=True) for fight in upcoming])
    for fight in upcoming:
        one, other = listed[fight.fight_id], swapped[fight.fight_id]
        assert other.fighters == (one.fighters[1], one.fighters[0])
        assert other.decision == one.decision
        assert other.market == one.market


def _quoted(fight: UpcomingFight, *prices: tuple[float, float], swap: bool = False) -> Fight:
    """The fight with a quote of these prices from each of so many bookmakers."""
    quotes = tuple(
        Quote(bookmaker=f"book {number}", prices=dict(zip(fight.fighters, pair, strict=True)))
        for number, pair in enumerate(prices)
    )
    return msgspec.structs.replace(_fight(fight, swap=swap), quotes=quotes)


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


def test_the_same_card_is_the_same_bytes(ask: Callable[..., Answered], upcoming: list[UpcomingFight]) -> None:
    fights = [_fight(fight) for fight in upcoming]
    assert codec.encode(ask(fights).report) == codec.encode(ask(fights).report)
    alone = ask(fights[3:4])[upcoming[3].fight_id]
    assert alone.fighters == ask(fights)[upcoming[3].fight_id].fighters


def test_without_quotes_the_market_aware_answer_is_absent_with_a_reason(
    ask: Callable[..., Answered], upcoming: list[UpcomingFight]
) -> None:
    bare = msgspec.structs.replace(_fight(upcoming[0]), quotes=())
    answer = ask([bare, _fight(upcoming[1])])
    assert (answer[bare.id].market_aware_reason, answer[bare.id].market_reason) == ("no_market", "no_quotes")
    assert [side.market_aware for side in answer[bare.id].fighters] == [None, None]
    assert answer[upcoming[1].fight_id].fighters[0].market_aware is not None


def test_an_unknown_fighter_fails_in_place(ask: Callable[..., Answered], upcoming: list[UpcomingFight]) -> None:
    strange = Fight(id="strange", fighters=(Fighter(name="Nobody Inparticular"), Fighter(name=upcoming[0].fighters[0])))
    report = ask([_fight(upcoming[1]), strange, _fight(upcoming[2])]).report
    assert [isinstance(fight, FightFailure) for fight in report.fights] == [False, True, False]
    failure = report.fights[1]
    assert isinstance(failure, FightFailure)
    assert failure.failure.code is FailureCode.UNKNOWN_FIGHTER
    assert "Nobody Inparticular" in failure.failure.message
    whole = ask([_fight(upcoming[1]), _fight(upcoming[2])])
    assert report.fights[0] == whole[upcoming[1].fight_id]


def test_a_card_without_any_predictable_fight_is_still_a_report(ask: Callable[..., Answered]) -> None:
    nobody = Fight(id="x", fighters=(Fighter(name="Nobody"), Fighter(name="Nobody Else")))
    assert isinstance(ask([nobody]).report.fights[0], FightFailure)


def test_a_declared_debutant_is_predicted_and_flagged(
    ask: Callable[..., Answered], upcoming: list[UpcomingFight]
) -> None:
    debut = Fight(
        id="debut",
        fighters=(Fighter(name="Nobody Inparticular", debut=True), Fighter(name=upcoming[0].fighters[0])),
    )
    fight = ask([debut])["debut"]
    assert "debutant" in fight.flags
    assert fight.fighters[0].fighter_id is None
    assert fight.market_reason == "no_quotes"
    assert (fight.decision.action, fight.decision.reasons) == ("abstain", ("no_quotes", "high_uncertainty"))


def test_the_declared_record_of_a_debutant_moves_the_answer_and_is_flagged(
    ask: Callable[..., Answered], upcoming: list[UpcomingFight]
) -> None:
    veteran = Fighter(name=upcoming[0].fighters[0])
    records = {
        "none": None,
        "good": DeclaredRecord(wins=14, losses=0, last_bout=date(2020, 1, 1)),
        "bad": DeclaredRecord(wins=3, losses=9),
        "empty": DeclaredRecord(wins=0, losses=0),
    }
    fights = [
        Fight(id=name, fighters=(Fighter(name="Nobody Inparticular", debut=True, record=record), veteran))
        for name, record in records.items()
    ]
    answer = ask(fights)
    probability = {name: answer[name].fighters[0].probability for name in records}
    assert probability["good"] > probability["none"] > probability["bad"]
    assert probability["empty"] == probability["none"]
    assert [name for name in records if "declared_record" in answer[name].flags] == ["good", "bad"]
    swapped = ask([msgspec.structs.replace(fight, fighters=fight.fighters[::-1]) for fight in fights])
    assert all(swapped[name].fighters[1].probability == probability[name] for name in records)
    known = msgspec.structs.replace(veteran, debut=True, record=records["good"])
    failed = ask([Fight(id="known", fighters=(known, Fighter(name=upcoming[0].fighters[1])))]).report.fights[0]
    assert isinstance(failed, FightFailure)
    assert failed.failure.code is FailureCode.UNKNOWN_FIGHTER
    assert "is declared a debutant" in failed.failure.message


def test_inline_features_replace_the_log(
    ask: Callable[..., Answered], upcoming: list[UpcomingFight], bundle: Bundle
) -> None:
    fight = _fight(upcoming[0])
    features = dict.fromkeys(bundle.manifest["columns"], 0.0) | {"diff_reach_cm": None}
    answer = ask([msgspec.structs.replace(fight, features=features)])[fight.id]
    assert "features_imputed" in answer.flags
    del features["diff_elo"]
    failed = ask([msgspec.structs.replace(fight, features=features)]).report.fights[0]
    assert isinstance(failed, FightFailure)
    assert failed.failure.code is FailureCode.INVALID_INPUT
    assert "diff_elo" in failed.failure.message


def test_options_reach_the_engine(ask: Callable[..., Answered], upcoming: list[UpcomingFight]) -> None:
    fight = _fight(upcoming[0])
    without = ask([fight], intervals=IntervalOptions(levels=(0.5,), bootstrap_samples=0))[fight.id]
    assert (without.fighters[0].sampling_interval, without.sampling_reason) == (None, "bootstrap_off")
    assert [interval.level for interval in without.fighters[0].intervals] == [0.5, 0.8]
    with pytest.raises(BootstrapError, match="bootstrap_samples is 5000"):
        ask([fight], intervals=IntervalOptions(bootstrap_samples=5000))
    with pytest.raises(BundleNotFoundError, match="nobody"):
        ask([fight], model="nobody")


def test_a_report_made_under_a_switch_says_so_and_is_otherwise_what_was_asked(
    ask: Callable[..., Answered], upcoming: list[UpcomingFight]
) -> None:
    fight = _fight(upcoming[0])
    plain = ask([fight]).report
    off = ask([fight], controls=Controls({"bootstrap": False})).report
    capped = ask([fight], controls=Controls({"max_replicas": 10})).report
    assert [report.switches for report in (plain, off, capped)] == [(), ("bootstrap=off",), ("max_replicas=10",)]
    assert b"switches" not in codec.encode(plain)
    asked = ask([fight], intervals=IntervalOptions(bootstrap_samples=10)).report
    assert capped.fights == asked.fights != plain.fights
    (unsampled,) = ask([fight], intervals=IntervalOptions(bootstrap_samples=0)).report.fights
    assert off.fights == (msgspec.structs.replace(unsampled, sampling_reason="switched_off"),)


def test_switches_that_change_no_bit_leave_no_mark(ask: Callable[..., Answered], upcoming: list[UpcomingFight]) -> None:
    fights = [_fight(fight) for fight in upcoming]
    plain = codec.encode(ask(fights).report)
    for given in ({"max_threads": 1}, {"max_threads": 2, "max_batch_size": 1}, {"max_replicas": 12}):
        assert codec.encode(ask(fights, controls=Controls(dict(given))).report) == plain


def test_the_stakes_of_a_card_stay_under_their_cap(ask: Callable[..., Answered], upcoming: list[UpcomingFight]) -> None:
    generous = []
    for fight in upcoming:
        prices = dict.fromkeys(fight.fighters, 1.05) | {fight.fighters[0]: 9.0}
        generous.append(msgspec.structs.replace(_fight(fight), quotes=(Quote(bookmaker="Soft", prices=prices),)))
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


def test_invalid_quotes_are_told_and_left_out(ask: Callable[..., Answered], upcoming: list[UpcomingFight]) -> None:
    fight = _fight(upcoming[0])
    cheap = Quote(bookmaker="Broken", prices=dict.fromkeys(upcoming[0].fighters, 1.1))
    answer = ask([msgspec.structs.replace(fight, quotes=(*fight.quotes, cheap), invalid_quotes=("Other: no price",))])
    assert "invalid_quotes" in answer[fight.id].flags
    assert [note.split(":")[0] for note in answer[fight.id].notes] == ["Other", "Broken"]
    assert answer[fight.id].market == ask([fight])[fight.id].market


def test_prices_that_contradict_each_other_are_for_a_person(
    ask: Callable[..., Answered], upcoming: list[UpcomingFight]
) -> None:
    fight = _fight(upcoming[0])
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
    fight = msgspec.structs.replace(_fight(upcoming[0]), quotes=(), invalid_quotes=("Broken: no price",))
    answered = ask([fight])[fight.id]
    assert answered.market_reason == "invalid_quotes"
    assert "invalid_quotes" in answered.decision.reasons


SOFT = DecisionRules(min_prediction_confidence=0.0, max_uncertainty_threshold=1.0)


def priced(fight: UpcomingFight, *prices: float, **changes: Any) -> Fight:
    """A fight at these prices of the first and the second fighter, by default good enough for a bet on the first."""
    pair = dict(zip(fight.fighters, prices or (9.0, 1.05), strict=True))
    return msgspec.structs.replace(_fight(fight), quotes=(Quote(bookmaker="Soft", prices=pair),), **changes)


def bets(answered: Answered) -> list[str]:
    return [one.id for one in answered.report.fights if isinstance(one, FightReport) and one.decision.action == "bet"]


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


def test_a_bout_of_another_sport_is_a_failure_that_names_it(
    ask: Callable[..., Answered], upcoming: list[UpcomingFight], bundle: Bundle
) -> None:
    boxing = msgspec.structs.replace(_fight(upcoming[0]), sport="boxing_boxing")
    ours = msgspec.structs.replace(_fight(upcoming[1]), sport="mma_mixed_martial_arts")
    inline = msgspec.structs.replace(boxing, id="x", features=dict.fromkeys(bundle.manifest["columns"], 0.0))
    failed, answered, answer = ask([boxing, ours, inline]).report.fights
    assert isinstance(answered, FightReport)
    for failure in (failed, answer):
        assert isinstance(failure, FightFailure)
        assert failure.failure.code is FailureCode.INVALID_INPUT
        assert failure.failure.details == {"sport": "boxing_boxing", "trained_for": "mma"}
        assert "boxing_boxing" in failure.failure.message


def test_all_unknown_fighters_are_named_at_once(ask: Callable[..., Answered], upcoming: list[UpcomingFight]) -> None:
    known = upcoming[0].fighters[0]
    near = Fight(id="near", fighters=(Fighter(name=f"{known}x"), Fighter(name="Qqq Zzz")))
    one = Fight(id="one", fighters=(Fighter(name=known), Fighter(name="Www Vvv")))
    failures = [fight.failure for fight in ask([near, one]).report.fights if isinstance(fight, FightFailure)]
    assert [failure.code for failure in failures] == [FailureCode.UNKNOWN_FIGHTER] * 2
    first, second = failures[0].details["unknown"]
    assert (first["name"], first["nearest"][0]) == (f"{known}x", known)
    assert second == {"name": "Qqq Zzz", "nearest": []}
    assert failures[1].details == {"unknown": [{"name": "Www Vvv", "nearest": []}]}
    assert all(name in failures[0].message for name in (f"{known}x", known, "Qqq Zzz"))


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
    fight = dated(_fight(upcoming[0]), 4 * hour, 9 * 24 * hour, -270 * 24 * hour, start=start)
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
    fight = dated(_fight(upcoming[0]), 9 * 24 * hour, 9 * 24 * hour, start=start)
    answered = ask([fight], priced_at=start - hour, rules=SOFT)[fight.id]
    assert (answered.market, answered.market_reason) == (None, "stale_quotes")
    assert answered.decision.reasons == ("stale_quotes",)
    assert [one.best for one in answered.fighters] == [None, None]


def test_one_switched_book_does_not_veto_the_bout(ask: Callable[..., Answered], upcoming: list[UpcomingFight]) -> None:
    first, second = upcoming[0].fighters
    agreed = [{first: 1.5, second: 2.7}, {first: 1.52, second: 2.62}, {first: 1.48, second: 2.75}]
    quotes = [Quote(bookmaker=f"b{number}", prices=prices) for number, prices in enumerate(agreed)]
    switched = Quote(bookmaker="odd", prices={first: 2.7, second: 1.5})
    fight = msgspec.structs.replace(_fight(upcoming[0]), quotes=tuple(quotes))
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


def test_health_loads_the_model_and_answers_its_canary(context: JobContext) -> None:
    with threadpool_limits(limits=1):  # as in a child of a pool
        report = check_health(CheckHealth(), context)
    assert report.status == "healthy"
    assert [check.name for check in report.checks] == ["model_loaded", "prediction", "memory", "threads"]
    assert codec.decode_report(codec.encode(report)) == report


def test_health_says_what_is_wrong(context: JobContext) -> None:
    report = check_health(CheckHealth(model="nobody"), context)
    assert report.status == "unhealthy"
    assert "nobody" in next(check.detail for check in report.checks if not check.passed)


def test_the_models_folder_is_named_when_a_bundle_is_not_there(context: JobContext, tmp_path: Path) -> None:
    empty = ModelCache(
        Store(tmp_path).fetch, {"champion": "0" * 64}.get, lambda folder: load_manager(folder, max_memory_mb=4096.0)
    )
    report = check_health(CheckHealth(), replace(context, models=empty))
    assert str(tmp_path) in report.checks[0].detail


def test_a_store_that_is_away_is_told_by_a_health_check(context: JobContext, tmp_path: Path) -> None:
    away = Store(tmp_path, "ftp://127.0.0.1:1/models")
    models = ModelCache(away.fetch, {"champion": "0" * 64}.get, lambda folder: load_manager(folder, max_memory_mb=1.0))
    report = check_health(CheckHealth(), replace(context, models=models))
    assert (report.status, report.checks[0].code) == ("unhealthy", "model_not_found")
    assert "127.0.0.1:1/models cannot be used" in report.checks[0].detail


def test_a_card_with_moved_odds_is_not_predicted_again(
    ask: Callable[..., Answered], context: JobContext, upcoming: list[UpcomingFight], monkeypatch: pytest.MonkeyPatch
) -> None:
    card = [_fight(fight) for fight in upcoming]
    moved = [
        msgspec.structs.replace(
            fight,
            id=f"again-{fight.id}",
            quotes=tuple(
                Quote(bookmaker=quote.bookmaker, prices={name: price * 1.01 for name, price in quote.prices.items()})
                for quote in fight.quotes
            ),
        )
        for fight in card
    ]
    ask(card)
    predicted: list[int] = []
    summarise = ProductionEnsembleManager.predict_unpriced_rows

    def counted(self: ProductionEnsembleManager, values: np.ndarray, **options: Any) -> Any:
        predicted.append(len(values))
        return summarise(self, values, **options)

    monkeypatch.setattr(ProductionEnsembleManager, "predict_unpriced_rows", counted)
    recalled = ask(moved).report
    assert predicted == []
    context.models.clear()
    assert ask(moved).report == recalled
    assert predicted == [len(card)]
    others = [(moved, {"intervals": IntervalOptions(bootstrap_samples=0)}), (card[:1], {}), ([*moved, *card], {})]
    for fights, options in others:
        ask(fights, **options)
    assert predicted == [len(card), len(card)]


def test_contributions_come_on_demand_and_add_up(ask: Callable[..., Answered], upcoming: list[UpcomingFight]) -> None:
    corners = ["red", "blue", "unknown"]
    card = [_fight(fight, corner=corner) for fight, corner in zip(upcoming, corners, strict=False)]
    explained, plain = ask(card, contributions=True).report, ask(card).report
    for fight, corner in zip(explained.fights, corners, strict=False):
        assert isinstance(fight, FightReport)
        first, second = (answer.contributions for answer in fight.fighters)
        assert first is not None
        assert second is not None
        assert sum(first.groups.values(), first.corner) == first.logit
        assert float(logit_to_probability(np.array(first.logit))) == fight.fighters[0].probability
        assert (second.logit, second.corner) == (-first.logit, -first.corner)
        assert second.groups == {group: -value for group, value in first.groups.items()}
        assert list(first.groups) == [group for group in FEATURE_GROUPS if group in first.groups]
        assert (first.corner > 0, first.corner < 0) == (corner == "red", corner == "blue")
    bare = [
        msgspec.structs.replace(
            fight,
            fighters=tuple(msgspec.structs.replace(answer, contributions=None) for answer in fight.fighters),
        )
        for fight in explained.fights
        if isinstance(fight, FightReport)
    ]
    assert tuple(bare) == plain.fights
    assert b"contributions" not in codec.encode(plain)


def test_contributions_of_a_card_count_the_rating_in_its_parts(
    ask: Callable[..., Answered], upcoming: list[UpcomingFight], bundle: Bundle
) -> None:
    manager = load_manager(bundle.folder, max_memory_mb=4096.0)
    ensemble = manager.ensemble
    assert ensemble.snapshot is not None
    requests = [
        FightRequest(
            first=FighterRequest(name=fight.fighters[0]),
            second=FighterRequest(name=fight.fighters[1]),
            date=fight.start.date(),
            weight_class=fight.weight_class,
        )
        for fight in upcoming
    ]
    rows = ensemble.snapshot.features(requests)
    X, parts = rows.X[list(ensemble.columns)], rows.rating_parts["diff_rating"]
    card = [_fight(fight) for fight in upcoming]
    sent = {name: None if np.isnan(value) else value for name, value in X.iloc[0].items()}
    card[0] = msgspec.structs.replace(card[0], features=sent)  # a row alone: its rating is one column
    answered = ask(card, contributions=True)
    whole = manager.predict_unpriced(X, contributions=True)
    for place, (fight, without, row) in enumerate(zip(card, whole, parts, strict=True)):
        found, expected = answered[fight.id].fighters[0].contributions, without.contributions
        assert found is not None
        assert expected is not None
        if place == 0:
            assert (found.logit, found.groups) == (expected.logit, expected.groups)
            continue
        for group in ("striking", "record"):
            part = ensemble.calibration.slope * ensemble.offset.slope * row[PART_GROUPS.index(group)]
            assert abs(part) > 1e-6
            assert found.groups[group] != 0.0
            assert found.groups[group] - expected.groups[group] == pytest.approx(part, abs=1e-10)


def test_contributions_are_computed_once(
    ask: Callable[..., Answered], upcoming: list[UpcomingFight], monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[int] = []

    def counted(ensemble: Any, values: np.ndarray, *rest: Any) -> Any:
        computed.append(len(values))
        return explain_rows(ensemble, values, *rest)

    monkeypatch.setattr(inference, "explain_rows", counted)
    card = [_fight(fight) for fight in upcoming]
    moved = [msgspec.structs.replace(fight, id=f"again-{fight.id}", quotes=()) for fight in card]
    ask(card)
    assert computed == []
    with_them = ask(card, contributions=True)
    assert computed == [len(card)]
    again = ask(moved, contributions=True)
    for fight in card:
        found = [answer.contributions for answer in with_them[fight.id].fighters]
        assert [answer.contributions for answer in again[f"again-{fight.id}"].fighters] == found
    ask(moved)
    assert computed == [len(card)]


@pytest.mark.parametrize("change", [{"weight_class": "Heavyweight"}, {"scheduled_rounds": 5}, {"swap": True}])
def test_a_fight_that_has_changed_is_predicted_again(
    ask: Callable[..., Answered], context: JobContext, upcoming: list[UpcomingFight], change: dict[str, Any]
) -> None:
    fight, swap = _fight(upcoming[0]), change.get("swap", False)
    ask([fight])
    other = _fight(upcoming[0], swap=True) if swap else msgspec.structs.replace(fight, **change)
    recalled = ask([other]).report
    context.models.clear()
    assert ask([other]).report == recalled


@pytest.mark.parametrize(
    "asked", [{"intervals": IntervalOptions(levels=(0.8, 0.9999))}, {"rules": DecisionRules(level=0.9999)}]
)
def test_a_level_that_the_data_cannot_tell_is_refused_and_no_bet_rests_on_it(
    ask: Callable[..., Answered], upcoming: list[UpcomingFight], asked: dict[str, Any]
) -> None:
    with pytest.raises(
        ValidationError, match=r"level 0\.9999 needs 9,999 past fights .* which reach level 0\.99"
    ) as refused:
        ask([_fight(upcoming[0])], **asked)
    assert to_failure(refused.value).code is FailureCode.INVALID_INPUT
