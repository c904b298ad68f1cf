"""Callers share the workers: one who queues many jobs does not delay the others."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import CheckHealth
from ledger.ledger import Claim, Ledger
from tests.support.claims import OWNER, REPORT

SOON = datetime(2098, 1, 1, tzinfo=UTC)
LATER = datetime(2099, 1, 1, tzinfo=UTC)


def put(ledger: Ledger, *names: str, caller: str | None = None, deadline: datetime | None = LATER) -> None:
    jobs = [CheckHealth(nonce=name, deadline=deadline) for name in names]
    ledger.submit_many(jobs, keys=list(names), caller=caller)


def handed_out(ledger: Ledger, limit: int = 1) -> list[str]:
    """Claim and settle."""
    claims: list[Claim] = ledger.claim("predict", OWNER, limit)
    assert all(ledger.settle_many([(claim, REPORT) for claim in claims]))
    return [claim.job_id for claim in claims]


def numbered(name: str, count: int) -> list[str]:
    return [f"{name}{number}" for number in range(count)]


def is_empty(ledger: Ledger) -> bool:
    """Nothing of a queue is left: no place and no turn."""
    keys = {key.decode() for key in ledger.server.client.scan_iter(f"{ledger.settings.namespace}:*")}
    return not [key for key in keys if key.split(":")[1] in ("queue", "named")]


@pytest.mark.parametrize(
    ("flooder", "caller"), [("flood", "other"), (None, "other"), ("zz", "other"), ("flood", None), ("zz", None)]
)
def test_a_card_is_next_however_many_jobs_of_another_caller_wait(
    ledger: Ledger, flooder: str | None, caller: str | None
) -> None:
    put(ledger, *numbered("flood", 2000), caller=flooder, deadline=SOON)
    assert handed_out(ledger) == ["flood0"]
    for number in range(5):
        put(ledger, f"card{number}", caller=caller)
        assert handed_out(ledger) == [f"card{number}"]
        assert handed_out(ledger) == [f"flood{number + 1}"]


def test_each_of_several_callers_gets_its_turn(ledger: Ledger) -> None:
    for caller in ("a", "b", "c"):
        put(ledger, *numbered(caller, 20), caller=caller)
    put(ledger, *numbered("none", 20))
    order = [handed_out(ledger)[0] for _ in range(80)]
    for at in range(0, 80, 4):
        assert {name.rstrip("0123456789") for name in order[at : at + 4]} == {"a", "b", "c", "none"}
    assert is_empty(ledger)


def test_a_claim_of_several_is_shared_too(ledger: Ledger) -> None:
    put(ledger, *numbered("flood", 50), caller="flood", deadline=SOON)
    put(ledger, "b0", "b1", caller="b")
    put(ledger, "none0")
    assert handed_out(ledger, 8) == ["none0", "b0", "flood0", "b1", "flood1", "flood2", "flood3", "flood4"]
    put(ledger, *numbered("c", 9), caller="c")
    assert sorted(handed_out(ledger, 4)) == ["c0", "c1", "flood5", "flood6"]
    assert handed_out(ledger, 3) in (["flood7", "c2", "flood8"], ["c2", "flood7", "c3"])


def test_the_odd_job_of_a_claim_changes_between_callers(ledger: Ledger) -> None:
    for caller in ("a", "b"):
        put(ledger, *numbered(caller, 30), caller=caller)
    counts = {"a": 0, "b": 0}
    for _ in range(10):
        for name in handed_out(ledger, 3):
            counts[name[0]] += 1
        assert abs(counts["a"] - counts["b"]) <= 1


def test_a_caller_gains_nothing_by_coming_and_going(ledger: Ledger) -> None:
    put(ledger, *numbered("steady", 60), caller="steady")
    put(ledger, *numbered("late", 30), caller="late")
    order = []
    for number in range(40):
        put(ledger, f"guest{number}", caller="guest")
        order += handed_out(ledger)
    counts = {name: sum(job.startswith(name) for job in order) for name in ("steady", "late", "guest")}
    assert max(counts.values()) - min(counts.values()) <= 1


def test_of_one_caller_the_earliest_deadline_goes_first(ledger: Ledger) -> None:
    put(ledger, "late", caller="a")
    put(ledger, "undated", caller="a", deadline=None)
    put(ledger, "soon", caller="a", deadline=SOON)
    put(ledger, "none", deadline=SOON)
    assert [handed_out(ledger)[0] for _ in range(4)] == ["none", "soon", "late", "undated"]


def test_jobs_without_a_deadline_keep_their_share_within_each_caller(ledger: Ledger) -> None:
    for caller in ("a", "b"):
        put(ledger, *numbered(f"{caller}dated", 40), caller=caller)
        put(ledger, *numbered(f"{caller}bulk", 40), caller=caller, deadline=None)
    order = [name for _ in range(25) for name in handed_out(ledger, 2)]
    for caller in ("a", "b"):
        assert sum(name.startswith(f"{caller}bulk") for name in order) == 5


def test_an_urgent_check_goes_before_the_jobs_of_all_callers(ledger: Ledger) -> None:
    put(ledger, *numbered("a", 3), caller="a", deadline=SOON)
    check = ledger.submission.submit_urgent(CheckHealth(nonce="check", deadline=LATER)).job_id
    put(ledger, "none")
    assert handed_out(ledger, 2)[0] == check
    again = ledger.submission.submit_urgent(CheckHealth(nonce="again", deadline=LATER)).job_id
    (claim,) = ledger.claim("predict", OWNER)
    assert claim.job_id == again
    ledger.release(claim)
    assert handed_out(ledger) == [again]


def test_released_lost_and_snoozed_jobs_go_back_to_their_caller(ledger: Ledger) -> None:
    put(ledger, *numbered("a", 3), caller="a")
    put(ledger, *numbered("b", 3), caller="b")
    first, second = ledger.claim("predict", OWNER, 2)
    assert (first.job_id, second.job_id) == ("a0", "b0")
    assert ledger.release(first)
    assert ledger.snooze(second, 60.0)
    assert ledger.queue_stats.depths()["predict"] == 5
    assert ledger.queue_stats.backlog().queues["predict"].callers == {"a": 3, "b": 2}
    assert ledger.resume_now("b0")
    (third,) = ledger.claim("predict", OWNER)
    assert third.job_id == "a0"
    assert ledger.report_worker_lost(third.job_id, third.fence) is JobState.QUEUED
    assert sorted(handed_out(ledger, 6)) == ["a0", "a1", "a2", "b0", "b1", "b2"]
    assert is_empty(ledger)


def test_cancelled_and_expired_jobs_leave_no_place_behind(ledger: Ledger) -> None:
    put(ledger, "cancelled", caller="a")
    put(ledger, "brief", caller="b", deadline=datetime.fromtimestamp(ledger.server.time() + 0.05, UTC))
    assert ledger.cancel("cancelled").state is JobState.CANCELLED
    while ledger.status("brief").state is JobState.QUEUED:
        ledger.reap()
    assert ledger.status("brief").state is JobState.EXPIRED
    assert ledger.queue_stats.depths()["predict"] == 0
    assert is_empty(ledger)
    assert handed_out(ledger) == []
    put(ledger, "next", caller="a")
    assert handed_out(ledger) == ["next"]


def test_the_oldest_job_of_a_queue_may_be_of_any_caller(ledger: Ledger) -> None:
    put(ledger, "a", caller="a", deadline=LATER)
    while ledger.queue_stats.backlog().queues["predict"].oldest_seconds < 0.01:
        pass
    put(ledger, "none", deadline=SOON)
    backlog = ledger.queue_stats.backlog().queues["predict"]
    assert (backlog.waiting, backlog.callers) == (2, {"a": 1})
    assert backlog.oldest_seconds >= 0.01


def test_a_record_that_is_gone_does_not_block_its_caller(ledger: Ledger) -> None:
    put(ledger, "gone", "there", caller="a")
    ledger.server.client.delete(ledger.server.key("job", "gone"))
    assert handed_out(ledger) + handed_out(ledger) == ["there"]
    assert is_empty(ledger)


def test_a_job_to_be_claimed_alone_waits_for_the_next_claim(ledger: Ledger) -> None:
    put(ledger, *numbered("a", 3), caller="a")
    put(ledger, *numbered("b", 3), caller="b")
    for claim in ledger.claim("predict", OWNER, 2):
        ledger.report_worker_lost(claim.job_id, claim.fence)  # both alone from now on
    assert [handed_out(ledger, 4) for _ in range(4)] == [["a0"], ["b0"], ["a1", "b1", "a2", "b2"], []]


# What a version without callers does while both run.


def as_before(ledger: Ledger, name: str) -> None:
    """Queue a job as versions without callers do: in the set of all jobs."""
    record = ledger.server.key("job", name)
    place, deadline, caller = ledger.server.execute("HMGET", record, "place", "deadline", "caller")
    if caller:
        ledger.server.execute("ZREM", ledger.server.key("queue", f"predict:{caller.decode()}"), place)
        ledger.server.execute("ZREM", ledger.server.key("named", "predict"), place)
    ledger.server.execute("ZADD", ledger.server.key("queue", "predict"), deadline or "+inf", place)


def test_jobs_that_an_earlier_version_queued_or_returned_are_handed_out(ledger: Ledger) -> None:
    put(ledger, "old0", "old1")
    put(ledger, *numbered("a", 4), caller="a")
    for name in ("old0", "old1", "a3"):
        as_before(ledger, name)
    assert ledger.queue_stats.depths()["predict"] == 6
    assert sorted(handed_out(ledger)[0] for _ in range(6)) == ["a0", "a1", "a2", "a3", "old0", "old1"]
    assert is_empty(ledger)


def test_a_returned_job_of_an_earlier_version_can_be_cancelled_and_snoozed(ledger: Ledger) -> None:
    put(ledger, "a0", "a1", caller="a")
    as_before(ledger, "a0")
    ledger.cancel("a0")
    (claim,) = ledger.claim("predict", OWNER)
    assert claim.job_id == "a1"
    assert ledger.snooze(claim, 60.0)
    assert is_empty(ledger)


def test_a_job_that_an_earlier_version_cancelled_is_not_handed_out(ledger: Ledger) -> None:
    put(ledger, "a0", "a1", caller="a")
    put(ledger, "brief", caller="b", deadline=datetime.fromtimestamp(ledger.server.time() + 0.05, UTC))
    for name in ("a0", "brief"):  # it ends the job, and does not find its place
        ledger.server.execute("HSET", ledger.server.key("job", name), "state", "cancelled", "settled", "1")
    while ledger.queue_stats.depths()["predict"] == 3:
        ledger.reap()
    assert handed_out(ledger) + handed_out(ledger) == ["a1"]
    assert [ledger.status(name).state for name in ("a0", "brief")] == [JobState.CANCELLED] * 2
    assert is_empty(ledger)
