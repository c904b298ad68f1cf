"""Cards by date, and all answers to each."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import msgspec

from ledger.contracts.failures import Failure, FailureCode
from ledger.contracts.jobs import Fight, Fighter, PredictCard, Quote
from ledger.contracts.reports import CardReport
from ledger.ledger import Ledger, LedgerSettings
from ledger.server.embedded_server import EmbeddedServer

START = datetime(2090, 1, 1, 20, tzinfo=UTC)
LATER = datetime(2100, 1, 1, tzinfo=UTC)
FAILURE = Failure(code=FailureCode.STALE_ODDS, message="too old")


def card(card_id: str, *, start: datetime = START, price: float = 2.0) -> PredictCard:
    quote = Quote(bookmaker="b", prices={"Ana": price, "Bea": 1.8})
    fight = Fight(id="1", fighters=(Fighter(name="Ana"), Fighter(name="Bea")), quotes=(quote,))
    return PredictCard(card_id=card_id, event_start=start, deadline=LATER, fights=(fight,))


def submit(ledger: Ledger, job: PredictCard) -> str:
    time.sleep(0.002)  # each in a millisecond of its own
    return ledger.submit(job).job_id


def settle(ledger: Ledger, card_id: str, result: Failure | None = None) -> None:
    [claim] = ledger.claim("predict", "n#1/1")
    report = CardReport(card_id=card_id, model="m", data_cutoff=date(2030, 1, 1), fights=())
    assert ledger.settle(claim, report if result is None else result)


def test_cards_are_listed_by_the_start_of_their_event(ledger: Ledger) -> None:
    now = START + timedelta(days=10)
    for days in (12, 3, 11, 9, 10):
        submit(ledger, card(f"day {days}", start=START + timedelta(days=days)))
    assert [each.card_id for each in ledger.card_answers.upcoming(now)] == ["day 10", "day 11", "day 12"]
    assert [each.card_id for each in ledger.card_answers.past(now)] == ["day 9", "day 3"]
    assert [each.card_id for each in ledger.card_answers.upcoming(now, limit=1, offset=1)] == ["day 11"]
    assert ledger.card_answers.event_start("day 3") == START + timedelta(days=3)
    assert ledger.card_answers.event_start("another") is None


def test_a_card_has_all_its_jobs_newest_first(ledger: Ledger) -> None:
    job_ids = [submit(ledger, card("night", price=price)) for price in (2.0, 2.1, 2.2)]
    submit(ledger, card("another"))
    settle(ledger, "night")
    settle(ledger, "night", FAILURE)
    answers = ledger.card_answers.of_card("night")
    assert [answer.job_id for answer in answers] == job_ids[::-1]
    assert [answer.state for answer in answers] == ["queued", "failed", "succeeded"]
    assert [answer.has_report for answer in answers] == [False, False, True]
    assert answers[1].outcome is not None
    assert answers[1].outcome.failure == FAILURE
    assert ledger.card_answers.count("night") == 3
    assert [answer.job_id for answer in ledger.card_answers.of_card("night", limit=2)] == job_ids[:0:-1]
    assert ledger.card_answers.of_card("no card") == []


def test_the_list_has_the_newest_job_and_the_newest_answer(ledger: Ledger) -> None:
    first = submit(ledger, card("night"))
    settle(ledger, "night")
    assert [[answer.job_id for answer in each] for each in ledger.card_answers.newest(["night"])] == [[first]]
    second = submit(ledger, card("night", price=2.5))
    third = submit(ledger, card("other"))
    found = ledger.card_answers.newest(["night", "other", "no card"])
    assert [[answer.job_id for answer in each] for each in found] == [[second, first], [third], []]
    assert ledger.card_answers.newest([]) == []


def test_of_one_millisecond_the_job_that_superseded_the_other_is_the_newer(ledger: Ledger) -> None:
    keys = ["z", "a"]  # against their order
    ledger.submit_many([card("main", price=price) for price in (2.0, 2.1)], keys=keys, supersede=True)
    assert [answer.job_id for answer in ledger.card_answers.of_card("main")] == ["a", "z"]
    settle(ledger, "main")
    assert [answer.job_id for answer in ledger.card_answers.newest(["main"])[0]] == ["a"]


def test_a_changed_start_moves_the_card(ledger: Ledger) -> None:
    submit(ledger, card("night"))
    submit(ledger, card("night", start=START + timedelta(hours=2)))
    [listed] = ledger.card_answers.upcoming(START - timedelta(days=1))
    assert (listed.event_start, listed.jobs) == (START + timedelta(hours=2), 2)


def test_any_identifier_is_found_again(ledger: Ledger) -> None:
    names = ["a b", "5 five", "-7 x", "line\nbreak", "ä/%", ":"]
    for name in names:
        submit(ledger, card(name))
    assert {each.card_id for each in ledger.card_answers.upcoming(START)} == set(names)
    assert all(ledger.card_answers.count(name) == 1 for name in names)


def test_an_answer_of_a_newer_version_hides_no_other(ledger: Ledger) -> None:
    older = submit(ledger, card("night"))
    settle(ledger, "night")
    newer = submit(ledger, card("night", price=2.5))
    settle(ledger, "night")
    ledger.server.execute(
        "HSET", ledger.server.key("job", newer), "report", msgspec.json.encode({"kind": "of the future"})
    )
    unreadable, readable = ledger.card_answers.of_card("night")
    assert (unreadable.job_id, unreadable.outcome) == (newer, None)
    assert unreadable.unreadable is not None
    assert "future" in unreadable.unreadable
    assert (readable.job_id, readable.has_report) == (older, True)


def test_a_card_is_listed_until_its_last_job_is_gone(valkey: EmbeddedServer, until: Callable[..., None]) -> None:
    settings = LedgerSettings(redis_url=valkey.url, namespace=uuid.uuid4().hex, retention_seconds=0.3)
    ledger = Ledger.connect(settings)
    submit(ledger, card("night"))
    submit(ledger, card("waits", price=2.5))
    settle(ledger, "night")

    def swept() -> bool:
        ledger.job_index.sweep()
        return [each.card_id for each in ledger.card_answers.upcoming(START)] == ["waits"]

    until(swept, 20)
    ledger.close()
