from __future__ import annotations

from datetime import UTC, datetime
from math import log

import pytest

from engine.market.devigging import DevigMethod, devig
from ledger.contracts.job_state import JobState, Outcome
from ledger.contracts.jobs import Quote
from ledger.contracts.reports import CardReport, Decision, FighterAnswer, FightReport, Interval
from producer.season.calibration import calibrate, close_probability, newest_answers

ANN, BEA = "Ann Archer", "Bea Baker"
DAY = datetime(2026, 11, 30, 12, tzinfo=UTC)


def _report(probability: float, width: float = 0.1, fight_id: str = "a") -> FightReport:
    def answer(name: str, value: float) -> FighterAnswer:
        intervals = tuple(
            Interval(level=level, lower=value - width, upper=value + width, method="anchored") for level in (0.8, 0.95)
        )
        return FighterAnswer(
            name=name, fighter_id=None, probability=value, intervals=intervals, sampling_interval=None, members={}
        )

    answers = (answer(BEA, 1 - probability), answer(ANN, probability))
    return FightReport(id=fight_id, fighters=answers, decision=Decision(action="abstain", reasons=()))


def _bout(fight_id: str, probability: float) -> dict[str, object]:
    return {"fighters": [ANN, BEA], "probability": probability, "listings": [{"id": "old"}, {"id": fight_id}]}


def _quote(bookmaker: str, first: float, second: float) -> Quote:
    return Quote(bookmaker=bookmaker, prices={ANN: first, BEA: second})


def test_losses_are_expected_under_the_truth() -> None:
    closes = {"a": [_quote("x", 2.0, 2.0)], "b": [_quote("x", 2.0, 2.0)]}
    answers = {"a": _report(0.6), "b": _report(0.4)}
    found = calibrate([_bout("a", 0.75), _bout("b", 0.45), _bout("c", 0.5)], answers, closes)
    assert found.fights == 2
    assert found.inside == {"0.8": 1, "0.95": 1}
    assert found.closes == pytest.approx(log(2))
    assert found.answers == pytest.approx((-0.75 * log(0.6) - 0.25 * log(0.4) - 0.45 * log(0.4) - 0.55 * log(0.6)) / 2)
    assert found.truth is not None
    assert found.truth < found.answers
    assert found.market_aware is None


def test_a_season_without_answers_has_no_losses() -> None:
    found = calibrate([_bout("a", 0.5)], {}, {})
    assert (found.fights, found.truth, found.answers, found.closes) == (0, None, None, None)


def test_the_margin_is_removed_as_the_engine_does() -> None:
    quotes = [_quote("x", 1.5, 2.6), _quote("y", 1.4, 2.9), _quote("z", 1.52, 2.5)]
    engine = devig([[1.5, 2.6]], DevigMethod.POWER)[0, 0]
    assert close_probability(quotes[:1], ANN, BEA) == pytest.approx(engine, abs=1e-9)
    assert close_probability(quotes, ANN, BEA) == pytest.approx(engine, abs=1e-9)
    assert close_probability([], ANN, BEA) is None


def _outcome(second: int, report: FightReport) -> Outcome:
    return Outcome(
        job_id="j",
        state=JobState.SUCCEEDED,
        attempt=1,
        kind="predict_card",
        submitted_at=DAY,
        settled_at=DAY.replace(second=second),
        report=CardReport(card_id="c", model="m", data_cutoff=DAY.date(), fights=(report,)),
    )


def test_the_last_answer_before_the_bell_counts() -> None:
    outcomes = [_outcome(second, _report(0.5 + second / 100)) for second in (1, 5, 9)]
    found = newest_answers(outcomes, {"a": DAY.replace(second=9).timestamp()})
    assert found["a"].fighters[1].probability == 0.55
    assert newest_answers(outcomes, {}) == {}
