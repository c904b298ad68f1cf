from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Literal

import pytest

from gateway.pages.track_record import track_record, wilson_interval
from ledger.contracts.prediction_record import PredictionInterval, PredictionRecord, PredictionRole
from ledger.models.fight_results import FightResult

DAY = date(2030, 1, 5)
ANN, BEA = "Ann Archer", "Bea Brown"


def record(
    probability: float,
    *,
    fighters: tuple[str, str] = (ANN, BEA),
    day: date = DAY,
    hour: int = 12,
    market: float | None = None,
    bet_on: Literal[0, 1] | None = None,
    role: PredictionRole = "live",
) -> PredictionRecord:
    interval = PredictionInterval(0.8, probability - 0.1, probability + 0.1)
    return PredictionRecord(
        day=day,
        fighters=fighters,
        model="a" * 64,
        role=role,
        job_id="job",
        probability=probability,
        intervals=(interval,),
        market=market,
        action="abstain" if bet_on is None else "bet",
        bet_on=bet_on,
        at=datetime(2030, 1, 5, hour, tzinfo=UTC),
    )


def result(winner: Literal[0, 1] | None, *fighters: str, day: date = DAY) -> FightResult:
    one, other = fighters or (ANN, BEA)
    return FightResult(date=day, fighters=(one, other), winner=winner, ending="draw" if winner is None else "won")


def test_a_result_is_found_by_names_in_any_order_and_spelling_and_a_day_off() -> None:
    for found in (
        result(0),
        result(1, BEA, ANN),
        result(0, "ANN  ARCHER", "Brown, Bea"),
        result(0, day=date(2030, 1, 4)),
        result(0, day=date(2030, 1, 6)),
    ):
        counted = track_record([record(0.6)], [found])
        assert (counted.decided, counted.waiting, counted.fights[0].won) == (1, 0, 0)
    for other in (result(0, day=date(2030, 1, 7)), result(0, ANN, "Cat Cole")):
        assert track_record([record(0.6)], [other]).waiting == 1


def test_the_last_answer_counts_and_shadow_answers_do_not() -> None:
    records = [record(0.7, hour=14), record(0.6, hour=9), record(0.1, hour=18, role="shadow")]
    records.append(record(0.8, hour=20, day=date(2030, 1, 6)))  # the same bout under the next day
    counted = track_record(records, [result(0)])
    assert [fight.record.probability for fight in counted.fights] == [0.8]


def test_what_has_no_winner_is_counted_and_not_scored() -> None:
    records = [record(0.6, fighters=(f"A{index}", f"B{index}")) for index in range(4)]
    results = [
        result(0, "A0", "B0"),
        result(None, "A1", "B1"),
        result(0, "A2", "B2"),
        result(1, "A2", "B2", day=date(2030, 1, 6)),
    ]
    counted = track_record(records, results)
    assert (counted.decided, counted.void, counted.contradicted, counted.waiting) == (1, 1, 1, 1)
    assert counted.ours is not None
    assert counted.ours.fights == 1
    assert counted.ours.brier == pytest.approx(0.16)
    assert (counted.priced, counted.market) == (None, None)


def test_figures_are_of_the_likelier_fighter() -> None:
    records = [
        record(0.3, fighters=("A0", "B0"), market=0.4, bet_on=1),  # 70% for B0, who wins
        record(0.72, fighters=("A1", "B1"), market=0.6, bet_on=1),  # 72% for A1, who loses
    ]
    counted = track_record(records, [result(1, "A0", "B0"), result(1, "A1", "B1")])
    [row] = counted.reliability
    assert (row.from_probability, row.fights, row.won) == (pytest.approx(0.7), 2, 0.5)
    assert row.forecast == pytest.approx(0.71)
    [interval] = counted.intervals
    assert (interval.level, interval.lower, interval.upper) == (0.8, pytest.approx(0.61), pytest.approx(0.81))
    assert (counted.bets, counted.bets_won, counted.bets_expected) == (2, 2, pytest.approx(0.7 + 0.28))
    assert counted.ours is not None
    assert counted.market is not None
    assert counted.ours.brier == pytest.approx((0.3**2 + 0.72**2) / 2)
    assert counted.market.brier == pytest.approx((0.4**2 + 0.6**2) / 2)


def test_nothing_predicted_is_no_figure() -> None:
    counted = track_record([], [result(0)])
    assert (counted.fights, counted.reliability, counted.ours) == ((), (), None)


def test_the_interval_of_a_share_is_wilsons() -> None:
    # Newcombe (1998), table I: 81 of 263.
    assert wilson_interval(81, 263) == (pytest.approx(0.2553, abs=1e-4), pytest.approx(0.3662, abs=1e-4))
    assert wilson_interval(0, 10)[0] == 0.0
