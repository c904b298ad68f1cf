"""Jobs that wait for a time or for another job: when they are queued, and how they end."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ledger.contracts.failures import FailureCode, JobRefusedError
from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import CheckHealth
from ledger.jobs.job_history import JobEventKind
from ledger.jobs.job_index import JobQuery
from ledger.ledger import Ledger, LedgerSettings
from ledger.server.embedded_server import EmbeddedServer
from tests.support.claims import FAILURE, OWNER, REPORT, claim_one
from tests.support.job_index import check_index


def submit(ledger: Ledger, name: str, **options: Any) -> str:
    deadline = options.pop("deadline", None)
    return ledger.submit(CheckHealth(nonce=name, deadline=deadline), key=name, **options).job_id


def after_seconds(ledger: Ledger, seconds: float) -> datetime:
    return datetime.fromtimestamp(ledger.server.time() + seconds, UTC)


def state(ledger: Ledger, job_id: str) -> JobState:
    return ledger.status(job_id).state


def refused(ledger: Ledger, **options: Any) -> FailureCode:
    with pytest.raises(JobRefusedError) as caught:
        submit(ledger, "refused", **options)
    assert state(ledger, "refused") is JobState.UNKNOWN
    return caught.value.failure.code


def reap_until(ledger: Ledger, job_id: str, wanted: JobState) -> None:
    deadline = time.monotonic() + 30
    while state(ledger, job_id) is not wanted:
        assert time.monotonic() < deadline, ledger.status(job_id)
        ledger.reap()


def end(ledger: Ledger, *, report: bool = True, owner: str = OWNER) -> str:
    claim = claim_one(ledger, owner)
    assert ledger.settle(claim, REPORT if report else FAILURE)
    return claim.job_id


def test_a_job_waits_for_its_time_and_not_in_a_queue(ledger: Ledger) -> None:
    begin = after_seconds(ledger, 3600)
    submit(ledger, "later", not_before=begin)
    status = ledger.status("later")
    assert status.state is JobState.WAITING
    assert status.not_before is not None
    assert abs(status.not_before - begin) < timedelta(milliseconds=1)
    ledger.reap()
    assert ledger.claim("predict", OWNER) == []
    backlog = ledger.queue_stats.backlog()
    assert (backlog.queues["predict"].waiting, backlog.queues["predict"].oldest_seconds) == (0, 0)
    assert backlog.not_queued == 1
    (listed,) = ledger.job_index.jobs(JobQuery(states=(JobState.WAITING,)))
    assert listed.job_id == "later"
    check_index(ledger)


def claim_from_another_queue(ledger: Ledger) -> None:
    assert ledger.claim("train", "other#1/2") == []


@pytest.mark.parametrize("look", [Ledger.reap, claim_from_another_queue])
def test_whoever_looks_first_queues_it_when_its_time_has_come(ledger: Ledger, look: Any) -> None:
    begin = after_seconds(ledger, 0.3)
    submit(ledger, "soon", not_before=begin)
    while state(ledger, "soon") is JobState.WAITING:
        look(ledger)
    assert ledger.server.time() >= begin.timestamp()
    backlog = ledger.queue_stats.backlog()
    assert (backlog.queues["predict"].waiting, backlog.not_queued) == (1, 0)
    assert backlog.queues["predict"].oldest_seconds <= ledger.server.time() - begin.timestamp()
    _, (claim,) = ledger.claim_when_notified("predict", OWNER, 5.0)
    assert claim.queued_at is not None
    assert claim.queued_at >= begin
    assert claim.queue_wait == claim.claimed_at - claim.queued_at
    events = [event.event for event in ledger.job_histories.get("soon").events]
    assert events == [JobEventKind.SUBMITTED, JobEventKind.QUEUED, JobEventKind.CLAIMED]
    check_index(ledger)


def test_a_time_that_has_passed_keeps_no_job(ledger: Ledger) -> None:
    submit(ledger, "now", not_before=after_seconds(ledger, -5))
    assert (state(ledger, "now"), ledger.status("now").not_before) == (JobState.QUEUED, None)


def test_the_same_job_keeps_its_first_time(ledger: Ledger) -> None:
    submit(ledger, "later", not_before=after_seconds(ledger, 3600))
    assert not ledger.submit(CheckHealth(nonce="later"), key="later").created
    assert state(ledger, "later") is JobState.WAITING


def test_what_can_never_run_is_refused(ledger: Ledger) -> None:
    begin = after_seconds(ledger, 60)
    assert refused(ledger, not_before=begin, deadline=begin) is FailureCode.EXPIRED
    assert refused(ledger, not_before=begin.replace(tzinfo=None)) is FailureCode.INVALID_INPUT
    assert refused(ledger, not_before=begin + timedelta(days=400)) is FailureCode.INVALID_INPUT


def test_waiting_jobs_fill_the_queue_that_they_will_enter(ledger_settings: LedgerSettings) -> None:
    ledger = Ledger.connect(replace(ledger_settings, max_queue_length=2))
    submit(ledger, "a", not_before=after_seconds(ledger, 60))
    submit(ledger, "b", not_before=after_seconds(ledger, 60))
    assert refused(ledger, not_before=after_seconds(ledger, 60)) is FailureCode.MEMORY_LIMIT_EXCEEDED
    submit(ledger, "c")
    submit(ledger, "d")
    ledger.close()


@pytest.mark.parametrize("conditions", ["time", "job", "both"])
def test_a_waiting_job_is_cancelled_at_once(ledger: Ledger, conditions: str) -> None:
    submit(ledger, "first")
    begin, after = after_seconds(ledger, 60), "first"
    options: dict[str, Any] = {"time": {"not_before": begin}, "job": {"after": after}}.get(
        conditions, {"not_before": begin, "after": after}
    )
    submit(ledger, "second", **options)
    assert ledger.cancel("second").state is JobState.CANCELLED
    end(ledger)
    ledger.reap()
    assert state(ledger, "second") is JobState.CANCELLED
    assert ledger.server.client.exists(ledger.server.key("waiting"), ledger.server.key("after", "first")) == 0
    check_index(ledger)


def test_a_job_is_queued_in_the_step_in_which_the_one_before_succeeds(ledger: Ledger) -> None:
    submit(ledger, "first")
    submit(ledger, "second", after="first")
    assert (state(ledger, "second"), ledger.status("second").after) == (JobState.WAITING, "first")
    assert end(ledger) == "first"
    assert state(ledger, "second") is JobState.QUEUED
    assert end(ledger) == "second"
    check_index(ledger)


def test_after_a_job_that_has_succeeded_nothing_is_waited_for(ledger: Ledger) -> None:
    submit(ledger, "first")
    end(ledger)
    submit(ledger, "second", after="first")
    assert state(ledger, "second") is JobState.QUEUED


def test_it_waits_for_both_the_job_and_the_time(ledger: Ledger) -> None:
    submit(ledger, "first")
    begin = after_seconds(ledger, 0.3)
    submit(ledger, "second", after="first", not_before=begin)
    submit(ledger, "third", after="first", not_before=begin)
    end(ledger)
    assert state(ledger, "second") is JobState.WAITING
    reap_until(ledger, "second", JobState.QUEUED)
    assert ledger.server.time() >= begin.timestamp()
    ledger.cancel("third")

    submit(ledger, "slow", not_before=after_seconds(ledger, 0.01))
    submit(ledger, "fourth", after="slow", not_before=after_seconds(ledger, 0.02))
    reap_until(ledger, "slow", JobState.QUEUED)
    ledger.reap()
    assert state(ledger, "fourth") is JobState.WAITING


def fail(ledger: Ledger) -> None:
    end(ledger, report=False)


def cancel(ledger: Ledger) -> None:
    ledger.cancel("first")


def cancel_running(ledger: Ledger) -> None:
    claim_one(ledger)
    ledger.cancel("first")


def lose(ledger: Ledger) -> None:
    while state(ledger, "first") is JobState.QUEUED:
        claim = claim_one(ledger)
        ledger.report_worker_lost(claim.job_id, claim.fence)


@pytest.mark.parametrize("how", [fail, cancel, cancel_running, lose])
def test_those_that_wait_end_with_the_job_that_did_not_succeed(ledger: Ledger, how: Any) -> None:
    submit(ledger, "first")
    submit(ledger, "second", after="first")
    submit(ledger, "third", after="second")
    how(ledger)
    second, third = ledger.wait("second", 5), ledger.wait("third", 5)
    assert second.failure is not None
    assert third.failure is not None
    assert second.failure.code is third.failure.code is FailureCode.PREDECESSOR_FAILED
    assert second.failure.details["after"] == "first"
    assert "first" in second.failure.message
    assert third.failure.details == {"after": "second", "state": "failed", "code": "predecessor_failed"}
    assert refused(ledger, after="first") is FailureCode.PREDECESSOR_FAILED
    assert ledger.queue_stats.backlog().not_queued == 0
    check_index(ledger)


def test_those_that_wait_end_when_the_job_before_expires(ledger: Ledger) -> None:
    submit(ledger, "first", deadline=after_seconds(ledger, 0.1))
    submit(ledger, "second", after="first")
    reap_until(ledger, "second", JobState.FAILED)
    assert state(ledger, "first") is JobState.EXPIRED


def test_a_job_expires_while_it_waits(ledger: Ledger) -> None:
    submit(ledger, "first")
    submit(ledger, "second", after="first", deadline=after_seconds(ledger, 0.2))
    submit(ledger, "third", after="second")
    reap_until(ledger, "second", JobState.EXPIRED)
    assert (state(ledger, "first"), state(ledger, "third")) == (JobState.QUEUED, JobState.FAILED)
    check_index(ledger)


def test_no_job_waits_for_one_that_is_not_known(ledger: Ledger) -> None:
    assert refused(ledger, after="nobody") is FailureCode.PREDECESSOR_FAILED
    with pytest.raises(JobRefusedError, match="nobody has succeeded, which was never submitted"):
        submit(ledger, "refused", after="nobody")


def test_many_that_wait_are_ended_a_part_at_a_time(ledger: Ledger) -> None:
    jobs = [CheckHealth(nonce=str(number)) for number in range(300)]
    submit(ledger, "first")
    ledger.submit_many(jobs, keys=[f"w{number}" for number in range(300)], after="first")
    ledger.cancel("first")
    assert 0 < ledger.queue_stats.backlog().not_queued < 300
    reap_until(ledger, "w299", JobState.FAILED)
    deadline = time.monotonic() + 30
    while ledger.queue_stats.backlog().not_queued and time.monotonic() < deadline:
        ledger.reap()
    assert ledger.queue_stats.backlog().not_queued == 0
    check_index(ledger)


def test_a_long_line_of_jobs_ends_without_recursion(ledger: Ledger) -> None:
    submit(ledger, "n0")
    for number in range(1, 250):
        submit(ledger, f"n{number}", after=f"n{number - 1}")
    ledger.cancel("n0")
    assert state(ledger, "n99") is JobState.FAILED
    reap_until(ledger, "n249", JobState.FAILED)


@pytest.mark.parametrize("report", [True, False])
def test_a_version_that_knows_of_no_waiting_jobs_may_end_the_job_before(ledger: Ledger, report: bool) -> None:
    """Such a version writes the outcome and looks at no one else; the next look at the waiting jobs finds it."""
    submit(ledger, "first")
    submit(ledger, "second", after="first")
    ledger.server.client.hdel(ledger.server.key("job", "first"), "followed")
    end(ledger, report=report)
    assert state(ledger, "second") is JobState.WAITING
    ledger.server.client.zadd(ledger.server.key("waiting"), {"second": 0})  # as if it were time for the next look
    reap_until(ledger, "second", JobState.QUEUED if report else JobState.FAILED)
    check_index(ledger)


def test_it_ends_although_the_record_of_the_job_before_is_gone(ledger: Ledger) -> None:
    submit(ledger, "first")
    submit(ledger, "second", after="first")
    ledger.server.client.delete(ledger.server.key("job", "first"))
    reap_until(ledger, "second", JobState.FAILED)


def test_waiting_jobs_survive_a_restart_of_the_server(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path) as server:
        first = Ledger.connect(LedgerSettings(redis_url=server.url, namespace="restart"))
        begin = after_seconds(first, 0.5)
        submit(first, "timed", not_before=begin)
        submit(first, "first")
        submit(first, "second", after="first")
        first.close()
    with EmbeddedServer(tmp_path) as server:
        again = Ledger.connect(LedgerSettings(redis_url=server.url, namespace="restart"))
        reap_until(again, "timed", JobState.QUEUED)
        assert again.server.time() >= begin.timestamp()
        end(again)
        assert state(again, "second") is JobState.QUEUED
        again.close()
