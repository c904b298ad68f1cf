"""How far a model's state lags behind the events that the ledger knows of."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pytest

from ledger.contracts.jobs import TrainEnsemble
from ledger.contracts.prediction_record import PredictionPage, PredictionRecord
from ledger.contracts.reports import HealthReport
from ledger.ledger import Ledger, Settlement
from ledger.models.fight_results import FightResult
from ledger.models.state_lag import StateLag, state_cutoff

MODEL = "a" * 64
NEVER = datetime(2099, 1, 1, tzinfo=UTC)


@pytest.fixture
def today() -> date:
    return datetime.now(UTC).date()


def register(ledger: Ledger, cutoff: date) -> None:
    ledger.models.register(MODEL, {"state": {"digest": "b" * 64, "cutoff": str(cutoff)}})


def answer_card(ledger: Ledger, day: date) -> None:
    record = PredictionRecord(
        day=day,
        fighters=("A", "B"),
        model="c" * 64,
        role="live",
        job_id="j",
        probability=0.5,
        intervals=(),
        action="bet",
    )
    page = msgspec.structs.replace(PredictionPage.from_records(NEVER, [("a v b", record)]), day=day)
    ledger.submit(TrainEnsemble(data=str(day)))
    (claim,) = ledger.claim("train", "n#1/1")
    report = HealthReport(status="healthy", checks=(), memory_mb=1.0)
    ledger.settle_batch([Settlement.from_result(claim, report, page)])


def lag(ledger: Ledger) -> int:
    measured = ledger.state_lags.measure(MODEL)
    assert isinstance(measured, StateLag)
    return measured.days


def test_results_and_answered_cards_after_the_state_count_from_the_oldest(ledger: Ledger, today: date) -> None:
    register(ledger, today - timedelta(days=30))
    assert lag(ledger) == 0
    answer_card(ledger, today - timedelta(days=9))
    assert lag(ledger) == 9
    result = FightResult(date=today - timedelta(days=16), fighters=("A", "B"), winner=0)
    ledger.fight_results.add([result], user="test")
    assert lag(ledger) == 16
    register(ledger, today - timedelta(days=16))
    assert lag(ledger) == 9
    register(ledger, today - timedelta(days=9))
    assert lag(ledger) == 0


def test_cards_to_come_and_the_time_zone_of_a_card_are_no_lag(ledger: Ledger, today: date) -> None:
    register(ledger, today - timedelta(days=20))
    answer_card(ledger, today + timedelta(days=3))
    answer_card(ledger, today)
    answer_card(ledger, today - timedelta(days=19))  # in UTC, of a fight on the evening before
    assert lag(ledger) == 0


@pytest.mark.parametrize(
    ("summary", "cutoff"),
    [
        ({"state": {"digest": "b", "cutoff": "2024-02-03"}, "data": {"cutoff": "2023-01-01"}}, date(2024, 2, 3)),
        ({"config": {}, "data": {"cutoff": "2023-01-01"}}, date(2023, 1, 1)),  # before states were registered
        ({"config": {}, "matrix": {}, "data": {"cutoff": "2023-01-01"}}, None),
        ({"data": {"cutoff": "2023-01-01"}}, None),  # imported
        ({}, None),
    ],
)
def test_a_model_without_a_state_has_no_lag(summary: dict[str, Any], cutoff: date | None) -> None:
    assert state_cutoff(summary) == cutoff


def test_a_model_that_is_not_registered_has_no_lag(ledger: Ledger) -> None:
    assert ledger.state_lags.measure(MODEL) is None
