from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest

from ledger.contracts.jobs import CheckHealth
from ledger.contracts.prediction_record import MAX_DAY_ENTRIES, PredictionInterval, PredictionPage, PredictionRecord
from ledger.contracts.reports import HealthReport
from ledger.ledger import Claim, Ledger, LedgerSettings, Settlement
from ledger.models.prediction_log import DAYS_AT_ONCE

REPORT = HealthReport(status="healthy", checks=(), memory_mb=1.5)
START = datetime(2099, 1, 3, 3, 30, tzinfo=UTC)
DAY = START.date()
MODEL = "ab" * 32


def entry(probability: float, *, day: date = DAY, model: str = MODEL, job_id: str = "job") -> PredictionRecord:
    return PredictionRecord(
        day=day,
        fighters=("Ana Núñez", "Bea"),
        model=model,
        role="live",
        job_id=job_id,
        probability=probability,
        intervals=(PredictionInterval(0.8, 0.25, 0.75),),
        market=0.5,
        action="abstain",
        reasons=("price_too_low",),
    )


def claimed(ledger: Ledger, name: str, **fields: datetime) -> Claim:
    ledger.submit(CheckHealth(nonce=name, **fields), key=name)
    (claim,) = ledger.claim("predict", f"n#1/{name}")
    return claim


def settle(ledger: Ledger, claim: Claim, said: PredictionRecord, start: datetime = START) -> bool:
    (accepted,) = ledger.settle_batch(
        [Settlement.from_result(claim, REPORT, PredictionPage.from_records(start, [("ana v bea", said)]))]
    )
    return accepted


def test_an_accepted_answer_is_noted_with_the_servers_time(ledger: Ledger) -> None:
    before = ledger.server.time()
    assert settle(ledger, claimed(ledger, "a"), entry(0.625))
    (noted,) = ledger.prediction_log.entries()
    assert noted.at is not None
    assert before - 0.002 <= noted.at.timestamp() <= ledger.server.time()
    assert noted.probability == 0.625
    assert noted.intervals == (PredictionInterval(0.8, 0.25, 0.75),)
    assert noted.fighters == ("Ana Núñez", "Bea")


def test_the_last_answer_before_the_start_counts(ledger: Ledger) -> None:
    for number in range(3):
        settle(ledger, claimed(ledger, str(number)), entry(0.5 + number / 8, job_id=str(number)))
    settle(ledger, claimed(ledger, "other"), entry(0.25, model="cd" * 32))
    assert [(noted.model[:2], noted.probability, noted.job_id) for noted in ledger.prediction_log.entries()] == [
        ("ab", 0.75, "2"),
        ("cd", 0.25, "job"),
    ]


def test_what_is_answered_after_the_start_is_not_noted(ledger: Ledger) -> None:
    past = datetime.fromtimestamp(ledger.server.time(), UTC) - timedelta(seconds=1)
    assert settle(ledger, claimed(ledger, "late"), entry(0.5), start=past)
    assert ledger.prediction_log.entries() == []


def test_what_no_bet_placer_could_read_is_not_noted(ledger: Ledger, until: Callable[..., None]) -> None:
    stale = claimed(ledger, "again")
    ledger.release(stale)
    assert not settle(ledger, stale, entry(0.5))
    soon = datetime.fromtimestamp(ledger.server.time() + 0.2, UTC)
    overdue = claimed(ledger, "overdue", deadline=soon)
    until(lambda: ledger.server.time() > soon.timestamp() + 0.01)
    assert settle(ledger, overdue, entry(0.5))  # accepted as `expired`, without its report
    assert ledger.prediction_log.entries() == []


def test_telling_again_changes_nothing(ledger: Ledger) -> None:
    claim = claimed(ledger, "a")
    settle(ledger, claim, entry(0.5))
    before = ledger.prediction_log.entries()
    assert settle(ledger, claim, entry(0.5))
    assert ledger.prediction_log.entries() == before


def test_entries_outlive_outcomes_and_not_their_own_time(
    ledger_settings: LedgerSettings, ledger: Ledger, until: Callable[..., None]
) -> None:
    fields = {**ledger_settings.__dict__, "retention_seconds": 0.001, "tombstone_seconds": 0.001}
    with_short_retention = Ledger.connect(LedgerSettings(**fields))
    settle(with_short_retention, claimed(ledger, "a"), entry(0.5))
    until(lambda: ledger.status("a").state.value == "unknown")
    assert len(ledger.prediction_log.entries()) == 1
    start = datetime.fromtimestamp(ledger.server.time() + 0.3, UTC)
    short = Ledger.connect(LedgerSettings(**{**ledger_settings.__dict__, "prediction_log_retention_seconds": 0.001}))
    settle(short, claimed(ledger, "b"), entry(0.5, day=start.date()), start=start)
    until(lambda: [noted.day for noted in ledger.prediction_log.entries()] == [DAY])


def test_a_day_is_bounded_and_what_is_there_is_still_replaced(ledger: Ledger) -> None:
    many = [(f"fight {number}", entry(0.5)) for number in range(MAX_DAY_ENTRIES + 5)]
    ledger.settle_batch(
        [Settlement.from_result(claimed(ledger, "flood"), REPORT, PredictionPage.from_records(START, many))]
    )
    assert len(ledger.prediction_log.entries()) == MAX_DAY_ENTRIES
    again = [("fight 0", entry(0.75)), ("one more", entry(0.25))]
    ledger.settle_batch(
        [Settlement.from_result(claimed(ledger, "again"), REPORT, PredictionPage.from_records(START, again))]
    )
    assert sorted({noted.probability for noted in ledger.prediction_log.entries()}) == [0.5, 0.75]


@pytest.mark.parametrize(("since", "days"), [(None, 2), (date(2099, 1, 3), 2), (date(2099, 1, 4), 1)])
def test_reading_from_a_day_on(ledger: Ledger, since: date | None, days: int) -> None:
    for number in range(2):
        start = START + timedelta(days=number)
        settle(ledger, claimed(ledger, str(number)), entry(0.5, day=start.date()), start=start)
    assert len(ledger.prediction_log.entries(since)) == days


def test_a_log_of_more_days_than_one_reply_has_is_read_whole_and_in_order(ledger: Ledger) -> None:
    days = [DAY + timedelta(days=number) for number in range(2 * DAYS_AT_ONCE + 1)]
    for day in reversed(days):
        settle(ledger, claimed(ledger, str(day)), entry(0.5, day=day), START + (day - DAY))
    assert [noted.day for noted in ledger.prediction_log.entries()] == days
    assert [noted.day for noted in ledger.prediction_log.entries(days[-2])] == days[-2:]
