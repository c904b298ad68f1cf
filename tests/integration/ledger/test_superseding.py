"""Cards that supersede earlier ones: which are replaced, which are marked, and in which order of prices."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ledger.contracts.failures import FailureCode, JobRefusedError
from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import DecisionRules, Fight, Fighter, PredictCard, Quote
from ledger.ledger import Ledger
from tests.support.claims import FAILURE, OWNER, REPORT
from tests.support.job_index import check_index

START = datetime(2099, 1, 1, tzinfo=UTC)
READ = datetime(2098, 12, 31, tzinfo=UTC)


def card(price: float = 2.0, minute: int | None = None, **fields: Any) -> PredictCard:
    quote = Quote(bookmaker="b", prices={"Ana": price, "Bea": 2.0})
    fight = Fight(id="1", fighters=(Fighter(name="Ana"), Fighter(name="Bea")), quotes=(quote,))
    read_at = None if minute is None else READ + timedelta(minutes=minute)
    options = {"card_id": "c1", "event_start": START, "fights": (fight,), "priced_at": read_at} | fields
    return PredictCard(**options)


def submit(ledger: Ledger, key: str, job: PredictCard, **options: Any) -> None:
    assert ledger.submit(job, key=key, **{"supersede": True} | options).created


def by(ledger: Ledger, job_id: str) -> tuple[JobState, str | None]:
    status = ledger.status(job_id)
    return status.state, status.superseded_by


def test_a_card_that_nobody_works_on_ends_as_superseded(ledger: Ledger) -> None:
    submit(ledger, "waits", card(2.0), not_before=datetime.now(UTC) + timedelta(hours=1))
    submit(ledger, "old", card(2.1))
    submit(ledger, "new", card(2.2))
    for job_id, newer in (("waits", "old"), ("old", "new")):
        outcome = ledger.outcome(job_id)
        assert outcome is not None
        assert outcome.failure is not None
        assert (outcome.state, outcome.superseded_by) == (JobState.CANCELLED, newer)
        assert outcome.failure.code is FailureCode.SUPERSEDED
        assert outcome.failure.details == {"superseded_by": newer}
        assert newer in outcome.failure.message
    assert [claim.job_id for claim in ledger.claim("predict", OWNER, 9)] == ["new"]
    assert by(ledger, "new") == (JobState.RUNNING, None)
    check_index(ledger)


def test_of_cards_of_one_millisecond_only_the_last_stands(ledger: Ledger) -> None:
    keys = ("c", "b", "a")  # the index of a card orders jobs of one time by their ids, and "c" comes first
    ledger.submit_many([card(2.0 + number / 10) for number in range(3)], keys=keys, supersede=True)
    assert [by(ledger, key) for key in keys] == [
        (JobState.CANCELLED, "b"),
        (JobState.CANCELLED, "a"),
        (JobState.QUEUED, None),
    ]
    check_index(ledger)


def test_a_running_and_an_answered_card_are_marked(ledger: Ledger) -> None:
    submit(ledger, "answered", card(2.0))
    (claim,) = ledger.claim("predict", OWNER)
    assert ledger.settle(claim, REPORT)
    submit(ledger, "running", card(2.1))
    assert by(ledger, "answered") == (JobState.SUCCEEDED, "running")
    (claim,) = ledger.claim("predict", OWNER)
    submit(ledger, "new", card(2.2))
    assert by(ledger, "running") == (JobState.RUNNING, "new")
    place = ledger.latest_place()
    assert ledger.settle(claim, REPORT)
    outcome = ledger.outcome("running")
    assert outcome is not None
    assert (outcome.state, outcome.superseded_by) == (JobState.SUCCEEDED, "new")
    assert [each.superseded_by for _, each in ledger.outcomes_page(place, 9).outcomes] == ["new"]
    answers = {answer.job_id: answer.superseded_by for answer in ledger.card_answers.of_card("c1")}
    assert answers == {"answered": "running", "running": "new", "new": None}
    events = [event.event for event in ledger.job_histories.get("running").events]
    assert events == ["submitted", "claimed", "superseded", "succeeded"]
    check_index(ledger)


def test_a_waiter_of_a_marked_card_reads_who_superseded_it(ledger: Ledger) -> None:
    submit(ledger, "old", card(2.0))
    (claim,) = ledger.claim("predict", OWNER)
    submit(ledger, "new", card(2.1))
    found = []
    waiter = threading.Thread(target=lambda: found.append(ledger.wait("old", 30)))
    waiter.start()
    channel = ledger.server.key("news", str(ledger.server.database), "old")
    while not ledger.server.client.pubsub_numsub(channel)[0][1]:
        pass
    ledger.settle(claim, FAILURE)
    waiter.join()
    assert found[0].superseded_by == "new"


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        ({"card_id": "c2"}, {}),
        ({"model": "challenger"}, {}),
        ({"rules": DecisionRules(min_prediction_confidence=0.6)}, {}),
        ({}, {"caller": "other"}),
        ({}, {"supersede": False}),
    ],
)
def test_another_question_supersedes_nothing(ledger: Ledger, fields: Any, options: Any) -> None:
    submit(ledger, "old", card(2.0))
    submit(ledger, "new", card(2.1, **fields), **options)
    assert by(ledger, "old") == (JobState.QUEUED, None)


def test_later_deadlines_and_starts_ask_the_same_question(ledger: Ledger) -> None:
    submit(ledger, "old", card(2.0), supersede=False)
    submit(ledger, "new", card(2.1, deadline=START + timedelta(hours=1), stake_share=0.5))
    assert by(ledger, "old") == (JobState.CANCELLED, "new")


def test_an_older_reading_that_comes_later_is_refused(ledger: Ledger) -> None:
    submit(ledger, "new", card(2.1, minute=5))
    with pytest.raises(JobRefusedError, match="job new has later ones") as caught:
        submit(ledger, "old", card(2.0, minute=4))
    assert caught.value.failure.code is FailureCode.SUPERSEDED
    assert caught.value.failure.details == {"superseded_by": "new"}
    assert ledger.status("old").state is JobState.UNKNOWN
    assert by(ledger, "new") == (JobState.QUEUED, None)
    # Of two readings of the same moment the one that comes later is the newer.
    submit(ledger, "same", card(2.2, minute=5))
    assert by(ledger, "new") == (JobState.CANCELLED, "same")
    assert not ledger.submit(card(2.1, minute=5), key="new", supersede=True).created  # it stays what it was
    assert by(ledger, "same") == (JobState.QUEUED, None)


def test_of_two_cards_of_one_call_the_later_reading_stays(ledger: Ledger) -> None:
    ledger.submit_many(
        [card(2.0, minute=1), card(2.2, minute=3), card(2.1, minute=2)], keys=["a", "b", "c"], supersede=True
    )
    assert [by(ledger, job_id) for job_id in "abc"] == [
        (JobState.CANCELLED, "b"),
        (JobState.QUEUED, None),
        (JobState.CANCELLED, "b"),
    ]
    check_index(ledger)


@pytest.mark.parametrize("named", ["c1", "old"])
def test_a_card_whose_start_moved_supersedes_what_it_names(ledger: Ledger, named: str) -> None:
    submit(ledger, "old", card(2.0, minute=1))
    submit(ledger, "other", card(2.0, minute=1, model="challenger"))
    moved = {"card_id": "c1 moved", "event_start": START + timedelta(days=1)}
    submit(ledger, "before", card(2.0, minute=2, **moved))
    submit(ledger, "new", card(2.0, minute=3, **moved), supersede=False, supersedes=named)
    assert by(ledger, "old") == by(ledger, "before") == (JobState.CANCELLED, "new")
    assert by(ledger, "other") == (JobState.QUEUED, None)
    # A poller that lags behind still sees the old start.
    with pytest.raises(JobRefusedError, match="job new has later ones"):
        submit(ledger, "late", card(2.3, minute=2))
    submit(ledger, "back", card(2.3, minute=4))
    assert by(ledger, "back") == (JobState.QUEUED, None)


def test_those_that_wait_for_a_superseded_card_end(ledger: Ledger) -> None:
    submit(ledger, "old", card(2.0))
    submit(ledger, "next", card(2.0, card_id="c9"), after="old")
    submit(ledger, "new", card(2.1))
    outcome = ledger.outcome("next")
    assert outcome is not None
    assert outcome.failure is not None
    assert outcome.failure.details == {"after": "old", "state": "cancelled", "code": "superseded"}


def test_a_dead_letter_that_is_superseded_is_not_queued_again(ledger: Ledger) -> None:
    submit(ledger, "old", card(2.0))
    for claim in iter(lambda: next(iter(ledger.claim("predict", OWNER)), None), None):
        ledger.report_worker_lost(claim.job_id, claim.fence)
    submit(ledger, "new", card(2.1))
    assert by(ledger, "old") == (JobState.FAILED, "new")
    with pytest.raises(JobRefusedError, match="new"):
        ledger.dead_letters.requeue("old")


def test_a_card_of_a_version_that_stored_no_reading_is_left_alone(ledger: Ledger) -> None:
    submit(ledger, "old", card(2.0))
    ledger.server.client.hdel(ledger.server.key("job", "old"), "reading")
    submit(ledger, "new", card(2.1))
    assert by(ledger, "old") == (JobState.QUEUED, None)
