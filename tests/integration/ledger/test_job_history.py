"""The history of a job: its claims, how each ended, and what became of it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest

from ledger.contracts.failures import FailureCode, UnknownJobError
from ledger.contracts.job_state import JobState
from ledger.jobs.job_history import JobEventKind, JobHistory
from ledger.ledger import Ledger, LedgerSettings
from tests.support.claims import FAILURE, OWNER, REPORT, claim_one, submit


def events(ledger: Ledger, job_id: str = "job") -> list[str]:
    return [str(event.event) for event in ledger.job_histories.get(job_id).events]


def test_an_answered_job(ledger: Ledger) -> None:
    submit(ledger)
    claim = claim_one(ledger)
    ledger.settle(claim, REPORT)
    history = ledger.job_histories.get("job")
    submitted, claimed, succeeded = history.events
    assert [event.event for event in history.events] == ["submitted", "claimed", "succeeded"]
    assert (claimed.attempt, claimed.fence, claimed.worker, claimed.reason) == (1, claim.fence, OWNER, None)
    assert submitted.at <= claimed.at <= succeeded.at
    assert (submitted.at, claimed.at, succeeded.at) == (claim.submitted_at, claim.claimed_at, history.job.settled_at)
    assert (succeeded.attempt, succeeded.reason) == (1, None)
    assert history.job == ledger.job_index.page().jobs[0]
    assert msgspec.json.decode(msgspec.json.encode(history), type=JobHistory) == history


def test_how_each_claim_ended_and_why(ledger: Ledger) -> None:
    submit(ledger)
    ledger.release(claim_one(ledger), reason="no memory\nfor it")
    ledger.snooze(claim_one(ledger), 3600, reason="waits for its parts")
    ledger.resume_now("job")
    claim = claim_one(ledger)
    ledger.report_worker_lost("job", claim.fence, "process 101 was killed")
    ledger.settle(claim_one(ledger), FAILURE)
    history = ledger.job_histories.get("job")
    assert events(ledger) == [
        "submitted",
        *("claimed", "released"),
        *("claimed", "snoozed"),
        *("claimed", "worker_lost"),
        *("claimed", "failed"),
    ]
    assert [event.attempt for event in history.events[1:]] == [1, 1, 1, 1, 1, 1, 2, 2]
    assert [event.reason for event in history.events[2::2]] == [
        "no memory for it",
        "waits for its parts",
        "process 101 was killed",
        "internal: it broke",
    ]
    assert all(event.worker == OWNER for event in history.events[1:-1])
    assert len({event.fence for event in history.events[1:-1]}) == 4, "each claim has a fence of its own"


def test_a_reply_that_was_lost_is_no_second_event(ledger: Ledger) -> None:
    submit(ledger)
    claim = claim_one(ledger)
    for _ in range(2):
        assert ledger.release(claim)
    claim = claim_one(ledger)
    for _ in range(2):
        assert ledger.report_worker_lost("job", claim.fence) is JobState.QUEUED
    assert events(ledger) == ["submitted", "claimed", "released", "claimed", "worker_lost"]


def test_a_claim_that_never_arrived(ledger: Ledger) -> None:
    submit(ledger)
    claim_one(ledger)
    claim_one(ledger)
    assert events(ledger) == ["submitted", "claimed", "undelivered", "claimed"]


def test_a_lease_that_ran_out(ledger_settings: LedgerSettings, until: Callable[..., None]) -> None:
    ledger = Ledger.connect(replace(ledger_settings, lease_seconds=0.05))
    submit(ledger)
    claim_one(ledger)
    until(lambda: ledger.reap().requeued)
    assert events(ledger) == ["submitted", "claimed", "lease_expired"]
    ledger.close()


def test_the_end_of_a_dead_letter_and_its_next_life(ledger: Ledger) -> None:
    submit(ledger)
    for number in range(3):
        ledger.report_worker_lost("job", claim_one(ledger).fence, f"crash {number + 1}")
    assert events(ledger) == ["submitted", *("claimed", "worker_lost") * 3, "failed"]
    assert ledger.job_histories.get("job").events[-1].reason is not None
    assert ledger.job_histories.get("job").events[-2].reason == "crash 3"
    ledger.dead_letters.requeue("job")
    assert ledger.job_histories.get("job").requeued_as == "job~2"
    assert ledger.job_histories.get("job~2").requeued_from == "job"
    assert events(ledger, "job~2") == ["submitted"]


def test_a_cancelled_job_says_so(ledger: Ledger) -> None:
    submit(ledger)
    claim_one(ledger)
    ledger.cancel("job")
    assert events(ledger) == ["submitted", "claimed", "cancelled"]
    assert "while it was running" in (ledger.job_histories.get("job").events[-1].reason or "")
    assert ledger.job_histories.get("job").job.failure_code == FailureCode.CANCELLED


def test_a_history_is_limited(ledger: Ledger) -> None:
    submit(ledger)
    for number in range(60):
        ledger.release(claim_one(ledger), reason=f"{number} " + "x" * 1000)
    history = ledger.job_histories.get("job")
    stored = ledger.server.execute("HGET", ledger.server.key("job", "job"), "history")
    assert len(stored) <= 8192 + 32
    assert history.dropped_events + len(history.events) == 121
    assert history.events[-1].reason is not None
    assert history.events[-1].reason.startswith("59 ")
    for _ in range(60):
        ledger.release(claim_one(ledger))
    history = ledger.job_histories.get("job")
    assert len(history.events) == 51
    assert history.dropped_events == 190


def test_text_from_elsewhere_stays_on_its_line(ledger: Ledger) -> None:
    submit(ledger)
    ledger.release(claim_one(ledger), reason="a\tb\nclaimed\t1\r\x00c" + "é" * 200)
    (event,) = ledger.job_histories.get("job").events[2:]
    assert event.event is JobEventKind.RELEASED
    assert event.reason is not None
    assert event.reason.startswith("a b claimed 1  cé")


def test_a_job_that_is_not_there(ledger: Ledger) -> None:
    with pytest.raises(UnknownJobError, match="never is unknown"):
        ledger.job_histories.get("never")


def test_what_a_newer_version_has_written_is_skipped(ledger: Ledger) -> None:
    submit(ledger)
    record = ledger.server.key("job", "job")
    ledger.server.execute("HSET", record, "history", "moved\t1\t\t\t\t\nreleased\t2\t1\t3\tn#1/1\t")
    assert events(ledger) == ["submitted", "released"]


def test_it_goes_with_the_record(ledger_settings: LedgerSettings, until: Callable[..., None]) -> None:
    ledger = Ledger.connect(replace(ledger_settings, retention_seconds=0.05, namespace=f"test-{uuid.uuid4().hex}"))
    submit(ledger)
    ledger.settle(claim_one(ledger), REPORT)
    until(lambda: ledger.status("job").state is JobState.FORGOTTEN)
    with pytest.raises(UnknownJobError, match="job is forgotten"):
        ledger.job_histories.get("job")
    ledger.close()


def line(number: int, **fields: object) -> bytes:
    basic = {
        "timestamp": "2026-01-01T00:00:00Z",
        "level": "warning",
        "event": f"line {number}",
        "logger": "n",
        "pid": 7,
    }
    return msgspec.json.encode({**basic, **fields})


def test_log_lines_are_kept_with_the_job(ledger: Ledger) -> None:
    submit(ledger)
    submit(ledger, "other")
    ledger.job_logs.append([("job", line(1, reason="x")), ("other", line(2)), ("never", line(3)), ("job", line(4))])
    ledger.job_logs.append([])
    first, second = ledger.job_histories.get("job").log
    assert (first.event, first.level, first.logger, first.pid, first.fields) == (
        "line 1",
        "warning",
        "n",
        7,
        {"reason": "x"},
    )
    assert second.event == "line 4"
    assert [kept.event for kept in ledger.job_histories.get("other").log] == ["line 2"]
    assert ledger.status("never").state is JobState.UNKNOWN


def test_the_log_of_a_job_is_limited(ledger: Ledger) -> None:
    submit(ledger)
    ledger.job_logs.append([("job", line(number)) for number in range(60)])
    history = ledger.job_histories.get("job")
    assert (len(history.log), history.dropped_log_lines, history.log[-1].event) == (50, 10, "line 59")
    ledger.job_logs.append([("job", line(number, text="x" * 1_800)) for number in range(20)])
    history = ledger.job_histories.get("job")
    assert len(history.log) == 5
    assert history.dropped_log_lines == 75
    assert len(ledger.server.execute("HGET", ledger.server.key("job", "job"), "log")) <= 10_240 + 32


def test_lines_that_are_none_are_skipped(ledger: Ledger) -> None:
    submit(ledger)
    ledger.job_logs.append([("job", text) for text in (b"{", b"[]", b"{}", b'{"timestamp": 1}', line(5))])
    assert [kept.event for kept in ledger.job_histories.get("job").log] == ["line 5"]
