from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ledger.contracts.failures import FailureCode, JobRefusedError, LedgerError, UnknownJobError
from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import CheckHealth
from ledger.contracts.reports import HealthReport
from ledger.jobs.dead_letters import DeadLetterQuery, requeued_job_id
from ledger.ledger import Ledger

REPORT = HealthReport(status="healthy", checks=(), memory_mb=1.0)


def kill(ledger: Ledger, job_id: str) -> None:
    """Let a job take its worker down as often as it may."""
    while ledger.status(job_id).state is JobState.QUEUED:
        (claim,) = ledger.claim("predict", "n#1/1")
        ledger.report_worker_lost(claim.job_id, claim.fence)


def dead(ledger: Ledger, name: str, deadline: datetime | None = None) -> str:
    job = CheckHealth(nonce=name[:64], deadline=deadline)
    job_id = ledger.submit(job, key=name, correlation_id=f"order {name}").job_id
    kill(ledger, job_id)
    return job_id


def test_a_letter_says_what_died_when_and_why(ledger: Ledger) -> None:
    job_id = dead(ledger, "poison")
    (letter,) = ledger.dead_letters.newest()
    assert letter == ledger.dead_letters.get(job_id)
    assert (letter.job_id, letter.kind, letter.queue, letter.attempts) == (job_id, "check_health", "predict", 3)
    assert letter.failure.code is FailureCode.WORKER_LOST
    assert letter.submitted_at <= letter.died_at
    assert letter.correlation_id == "order poison"
    assert ledger.job_records.job(job_id) == CheckHealth(nonce="poison")


def test_letters_come_newest_first(ledger: Ledger) -> None:
    for name in ("older", "newer"):
        dead(ledger, name)
    assert [letter.job_id for letter in ledger.dead_letters.newest()] == ["newer", "older"]
    assert [letter.job_id for letter in ledger.dead_letters.newest(1)] == ["newer"]


def test_a_second_life_is_another_job_and_replaces_no_outcome(ledger: Ledger) -> None:
    first = dead(ledger, "poison")
    died_as = ledger.outcome(first)
    second = ledger.dead_letters.requeue(first)
    assert (second.job_id, second.created) == ("poison~2", True)
    assert ledger.dead_letters.newest() == []
    assert ledger.dead_letters.requeue(first) == ledger.dead_letters.requeue(first), "told twice is told once"
    assert ledger.queue_stats.depths()["predict"] == 1
    (claim,) = ledger.claim("predict", "n#1/1")
    assert (claim.job_id, claim.attempt, claim.correlation_id) == ("poison~2", 1, "order poison")
    assert ledger.settle(claim, REPORT)
    assert ledger.outcome(first) == died_as
    assert ledger.dead_letters.requeue(first).created is False, "what its next life came to is not lived again"


def test_the_lives_are_counted_on(ledger: Ledger) -> None:
    second = ledger.dead_letters.requeue(dead(ledger, "poison")).job_id
    kill(ledger, second)
    third = ledger.dead_letters.requeue(second).job_id
    assert (second, third) == ("poison~2", "poison~3")


@pytest.mark.parametrize(
    ("job_id", "after"), [("a", "a~2"), ("a~2", "a~3"), ("a~9", "a~10"), ("a~02", "a~02~2"), ("a~x", "a~x~2")]
)
def test_the_name_of_the_next_life(job_id: str, after: str) -> None:
    assert requeued_job_id(job_id) == after


def test_a_name_that_would_be_no_key_is_refused(ledger: Ledger) -> None:
    with pytest.raises(JobRefusedError, match="another key"):
        ledger.dead_letters.requeue(dead(ledger, "x" * 200))
    assert len(ledger.dead_letters.newest()) == 1


def test_a_next_life_under_a_key_that_is_taken_is_refused(ledger: Ledger) -> None:
    dead(ledger, "poison")
    ledger.submit(CheckHealth(nonce="another"), key="poison~2")
    with pytest.raises(JobRefusedError, match=r"'poison~2'.*other content"):
        ledger.dead_letters.requeue("poison")
    assert [letter.job_id for letter in ledger.dead_letters.newest()] == ["poison"]


def test_only_what_died_is_queued_again(ledger: Ledger) -> None:
    ledger.submit(CheckHealth(), key="waits")
    for job_id in ("never", "waits"):
        with pytest.raises(UnknownJobError, match=f"{job_id} is"):
            ledger.dead_letters.requeue(job_id)
        with pytest.raises(UnknownJobError, match="not in the dead-letter list"):
            ledger.dead_letters.get(job_id)
    ledger.cancel("waits")
    with pytest.raises(LedgerError, match="ended as cancelled"):
        ledger.dead_letters.requeue("waits")
    with pytest.raises(UnknownJobError, match="never is unknown"):
        ledger.job_records.job("never")


def test_a_letter_past_its_deadline_stays_where_it_is(ledger: Ledger) -> None:
    dead(ledger, "late", datetime(2099, 1, 1, tzinfo=UTC))
    record = f"{ledger.settings.namespace}:job:late"
    ledger.server.execute("HSET", record, "payload", b'{"kind": "check_health", "deadline": "2020-01-01T00:00:00Z"}')
    with pytest.raises(JobRefusedError) as caught:
        ledger.dead_letters.requeue("late")
    assert caught.value.failure.code is FailureCode.EXPIRED
    assert [letter.job_id for letter in ledger.dead_letters.newest()] == ["late"]


def test_a_purge_takes_letters_and_leaves_outcomes(ledger: Ledger) -> None:
    names = [dead(ledger, name) for name in "abc"]
    assert ledger.dead_letters.purge("a", "never") == 1
    assert ledger.dead_letters.purge() == 0
    assert ledger.dead_letters.purge_all() == 2
    assert ledger.dead_letters.newest() == []
    assert [ledger.status(name).state for name in names] == [JobState.FAILED] * 3


def test_a_letter_whose_outcome_is_forgotten_is_not_listed(ledger: Ledger) -> None:
    dead(ledger, "old")
    ledger.server.execute("DEL", f"{ledger.settings.namespace}:job:old")
    assert ledger.dead_letters.newest() == []
    with pytest.raises(UnknownJobError):
        ledger.dead_letters.get("old")


def test_many_are_queued_again_each_by_itself(ledger: Ledger) -> None:
    for name in ("a", "b"):
        dead(ledger, name)
    dead(ledger, "x" * 200)
    ledger.submit(CheckHealth(nonce="waits"), key="waits")
    results = ledger.dead_letters.requeue_many(["a", "never", "waits", "x" * 200, "b", "a"])
    assert [result.new_job_id for result in results] == ["a~2", None, None, None, "b~2"]
    assert [result.failure is None for result in results] == [True, False, False, False, True]
    assert "never is unknown" in str(results[1].failure)
    assert [letter.job_id for letter in ledger.dead_letters.newest()] == ["x" * 200]
    again = ledger.dead_letters.requeue_many(["a", "b"])
    assert [(result.new_job_id, result.created) for result in again] == [("a~2", False), ("b~2", False)]


def test_many_are_purged_and_those_that_were_not_there_are_named(ledger: Ledger) -> None:
    names = [dead(ledger, name) for name in "abc"]
    results = ledger.dead_letters.purge_many([*names[:2], "never", "a"])
    assert {result.job_id: result.purged for result in results} == {"a": True, "b": True, "never": False}
    assert [letter.job_id for letter in ledger.dead_letters.newest()] == ["c"]
    assert ledger.dead_letters.purge_many([]) == []


def test_letters_are_selected_by_kind_and_age(ledger: Ledger) -> None:
    for name in "abc":
        dead(ledger, name)
    letters = ledger.dead_letters
    ids = [letter.job_id for letter in letters.newest()]
    assert [letter.job_id for letter in letters.select()] == ids
    assert [letter.job_id for letter in letters.select(DeadLetterQuery(kinds=("backtest",)))] == []
    assert [letter.job_id for letter in letters.select(DeadLetterQuery(kinds=("check_health",)))] == ids
    newest = letters.newest()[0].died_at
    older = letters.select(DeadLetterQuery(died_before=newest))
    assert [letter.job_id for letter in older] == [each.job_id for each in letters.newest() if each.died_at < newest]
    for query in (DeadLetterQuery(kinds=("dance",)), DeadLetterQuery(died_before=newest.replace(tzinfo=None))):
        with pytest.raises(JobRefusedError):
            list(letters.select(query))
