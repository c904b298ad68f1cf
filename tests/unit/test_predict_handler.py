from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from benchmarks.handling import claim_of, context_of
from engine.bundle import Bundle
from engine.ensemble import ProductionEnsembleManager
from engine.errors import BootstrapError, BundleNotFoundError
from engine.simulation import League, UpcomingFight
from ledger import wire
from ledger.controls import Controls
from ledger.failures import FailureCode
from ledger.jobs import CheckHealth, DecisionRules, Fight, Fighter, IntervalOptions, PredictCard, Quote
from ledger.reports import CardReport, FightFailure, FightReport
from workers.context import JobContext
from workers.health import check_health
from workers.models import ModelCache, load_manager
from workers.predict import predict_card
from workers.store import Store

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
    assert wire.decode_report(wire.encode(report)) == report


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


def test_the_same_card_is_the_same_bytes(ask: Callable[..., Answered], upcoming: list[UpcomingFight]) -> None:
    fights = [_fight(fight) for fight in upcoming]
    assert wire.encode(ask(fights).report) == wire.encode(ask(fights).report)
    alone = ask(fights[3:4])[upcoming[3].fight_id]
    assert alone.fighters == ask(fights)[upcoming[3].fight_id].fighters


def test_without_quotes_the_market_aware_answer_is_absent_with_a_reason(
    ask: Callable[..., Answered], upcoming: list[UpcomingFight]
) -> None:
    bare = msgspec.structs.replace(_fight(upcoming[0]), quotes=())
    told = ask([bare, _fight(upcoming[1])])
    assert (told[bare.id].market_aware_reason, told[bare.id].market_reason) == ("no_market", "no_quotes")
    assert [side.market_aware for side in told[bare.id].fighters] == [None, None]
    assert told[upcoming[1].fight_id].fighters[0].market_aware is not None


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


def test_inline_features_replace_the_log(
    ask: Callable[..., Answered], upcoming: list[UpcomingFight], bundle: Bundle
) -> None:
    fight = _fight(upcoming[0])
    features = dict.fromkeys(bundle.manifest["columns"], 0.0) | {"diff_reach_cm": None}
    told = ask([msgspec.structs.replace(fight, features=features)])[fight.id]
    assert "features_imputed" in told.flags
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
    with pytest.raises(BootstrapError, match="asks for 5000"):
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
    assert b"switches" not in wire.encode(plain)
    asked = ask([fight], intervals=IntervalOptions(bootstrap_samples=10)).report
    assert capped.fights == asked.fights != plain.fights
    (unsampled,) = ask([fight], intervals=IntervalOptions(bootstrap_samples=0)).report.fights
    assert off.fights == (msgspec.structs.replace(unsampled, sampling_reason="switched_off"),)


def test_switches_that_change_no_bit_leave_no_mark(ask: Callable[..., Answered], upcoming: list[UpcomingFight]) -> None:
    fights = [_fight(fight) for fight in upcoming]
    plain = wire.encode(ask(fights).report)
    for given in ({"max_threads": 1}, {"max_threads": 2, "max_batch_size": 1}, {"max_replicas": 12}):
        assert wire.encode(ask(fights, controls=Controls(dict(given))).report) == plain


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
    told = ask([msgspec.structs.replace(fight, quotes=(*fight.quotes, cheap), invalid_quotes=("Other: no price",))])
    assert "invalid_quotes" in told[fight.id].flags
    assert [note.split(":")[0] for note in told[fight.id].notes] == ["Other", "Broken"]
    assert told[fight.id].market == ask([fight])[fight.id].market


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


def test_health_loads_the_model_and_answers_its_canary(context: JobContext) -> None:
    with threadpool_limits(limits=1):  # as in a child of a pool
        report = check_health(CheckHealth(), context)
    assert report.status == "healthy"
    assert [check.name for check in report.checks] == ["model_loaded", "prediction", "memory", "threads"]
    assert wire.decode_report(wire.encode(report)) == report


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
    summarise = ProductionEnsembleManager.summarise_rows

    def counted(self: ProductionEnsembleManager, values: np.ndarray, **options: Any) -> Any:
        predicted.append(len(values))
        return summarise(self, values, **options)

    monkeypatch.setattr(ProductionEnsembleManager, "summarise_rows", counted)
    recalled = ask(moved).report
    assert predicted == []
    context.models.clear()
    assert ask(moved).report == recalled
    assert predicted == [len(card)]
    others = [(moved, {"intervals": IntervalOptions(bootstrap_samples=0)}), (card[:1], {}), ([*moved, *card], {})]
    for fights, options in others:
        ask(fights, **options)
    assert predicted == [len(card), len(card)]


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
