from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import msgspec
import numpy as np
import pytest

from engine.ensemble import ProductionEnsembleManager
from engine.errors import BootstrapError, BundleNotFoundError, ValidationError
from engine.model.bundle import Bundle
from engine.simulation.league import UpcomingFight
from ledger.contracts import codec
from ledger.contracts.controls import Controls
from ledger.contracts.failures import FailureCode
from ledger.contracts.jobs import DecisionRules, DeclaredRecord, Fight, Fighter, IntervalOptions, Quote
from ledger.contracts.reports import FightFailure, FightReport
from tests.support.handled_cards import Answered, fight_of
from workers.failures import to_failure
from workers.jobs.context import JobContext


def test_a_card_is_answered_whole_and_travels(
    ask: Callable[..., Answered], upcoming: list[UpcomingFight], bundle: Bundle
) -> None:
    report = ask([fight_of(fight) for fight in upcoming]).report
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
    listed = ask([fight_of(fight, corner="red") for fight in upcoming])
    swapped = ask([fight_of(fight, corner="red", swap=True) for fight in upcoming])
    for fight in upcoming:
        one, other = listed[fight.fight_id], swapped[fight.fight_id]
        assert other.fighters == (one.fighters[1], one.fighters[0])
        assert other.decision == one.decision
        assert other.market == one.market


def test_the_same_card_is_the_same_bytes(ask: Callable[..., Answered], upcoming: list[UpcomingFight]) -> None:
    fights = [fight_of(fight) for fight in upcoming]
    assert codec.encode(ask(fights).report) == codec.encode(ask(fights).report)
    alone = ask(fights[3:4])[upcoming[3].fight_id]
    assert alone.fighters == ask(fights)[upcoming[3].fight_id].fighters


def test_an_unknown_fighter_fails_in_place(ask: Callable[..., Answered], upcoming: list[UpcomingFight]) -> None:
    strange = Fight(id="strange", fighters=(Fighter(name="Nobody Inparticular"), Fighter(name=upcoming[0].fighters[0])))
    report = ask([fight_of(upcoming[1]), strange, fight_of(upcoming[2])]).report
    assert [isinstance(fight, FightFailure) for fight in report.fights] == [False, True, False]
    failure = report.fights[1]
    assert isinstance(failure, FightFailure)
    assert failure.failure.code is FailureCode.UNKNOWN_FIGHTER
    assert "Nobody Inparticular" in failure.failure.message
    whole = ask([fight_of(upcoming[1]), fight_of(upcoming[2])])
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
    fight = fight_of(upcoming[0])
    features = dict.fromkeys(bundle.manifest["columns"], 0.0) | {"diff_reach_cm": None}
    answer = ask([msgspec.structs.replace(fight, features=features)])[fight.id]
    assert "features_imputed" in answer.flags
    del features["diff_elo"]
    failed = ask([msgspec.structs.replace(fight, features=features)]).report.fights[0]
    assert isinstance(failed, FightFailure)
    assert failed.failure.code is FailureCode.INVALID_INPUT
    assert "diff_elo" in failed.failure.message


def test_options_reach_the_engine(ask: Callable[..., Answered], upcoming: list[UpcomingFight]) -> None:
    fight = fight_of(upcoming[0])
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
    fight = fight_of(upcoming[0])
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
    fights = [fight_of(fight) for fight in upcoming]
    plain = codec.encode(ask(fights).report)
    for given in ({"max_threads": 1}, {"max_threads": 2, "max_batch_size": 1}, {"max_replicas": 12}):
        assert codec.encode(ask(fights, controls=Controls(dict(given))).report) == plain


def test_a_bout_of_another_sport_is_a_failure_that_names_it(
    ask: Callable[..., Answered], upcoming: list[UpcomingFight], bundle: Bundle
) -> None:
    boxing = msgspec.structs.replace(fight_of(upcoming[0]), sport="boxing_boxing")
    ours = msgspec.structs.replace(fight_of(upcoming[1]), sport="mma_mixed_martial_arts")
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


def test_a_card_with_moved_odds_is_not_predicted_again(
    ask: Callable[..., Answered], context: JobContext, upcoming: list[UpcomingFight], monkeypatch: pytest.MonkeyPatch
) -> None:
    card = [fight_of(fight) for fight in upcoming]
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


@pytest.mark.parametrize("change", [{"weight_class": "Heavyweight"}, {"scheduled_rounds": 5}, {"swap": True}])
def test_a_fight_that_has_changed_is_predicted_again(
    ask: Callable[..., Answered], context: JobContext, upcoming: list[UpcomingFight], change: dict[str, Any]
) -> None:
    fight, swap = fight_of(upcoming[0]), change.get("swap", False)
    ask([fight])
    other = fight_of(upcoming[0], swap=True) if swap else msgspec.structs.replace(fight, **change)
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
        ask([fight_of(upcoming[0])], **asked)
    assert to_failure(refused.value).code is FailureCode.INVALID_INPUT
