from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import redis
from msgspec.structs import replace as changed

from ledger.contracts.failures import Failure, FailureCode, LedgerError
from ledger.contracts.job_state import JobState, Progress
from ledger.contracts.jobs import MAX_PAYLOAD_BYTES, CheckHealth, ShadowCard, TrainEnsemble
from ledger.ledger import Ledger, LedgerSettings, RunningJob
from tests.support.claims import FAILURE, OWNER, REPORT, claim_one, submit


def soon(ledger: Ledger) -> datetime:
    return datetime.fromtimestamp(ledger.server.time() + 0.15, UTC)


def passed(ledger: Ledger, job_id: str) -> bool:
    deadline = ledger.status(job_id).deadline
    assert deadline is not None
    return ledger.server.time() > deadline.timestamp()


def test_a_claim_says_all_that_a_worker_needs(ledger: Ledger) -> None:
    deadline = datetime(2099, 5, 6, 7, tzinfo=UTC)
    job = CheckHealth(nonce="n", deadline=deadline)
    job_id = ledger.submit(job, correlation_id="order 66").job_id
    claim = claim_one(ledger)
    assert (claim.job_id, claim.kind, claim.attempt, claim.queue) == (job_id, "check_health", 1, "predict")
    assert (claim.deadline, claim.correlation_id, claim.time_limit_seconds) == (deadline, "order 66", 60.0)
    assert claim.submitted_at <= claim.claimed_at
    assert b'"nonce":"n"' in claim.payload
    status = ledger.status(job_id)
    assert (status.state, status.attempt) == (JobState.RUNNING, 1)
    assert ledger.queue_stats.depths()["predict"] == 0


def test_a_claim_says_what_the_usual_names_stood_for(ledger: Ledger) -> None:
    first, second = "a" * 64, "b" * 64
    for name in ("before", "between", "after"):
        submit(ledger, name)
    before = claim_one(ledger, "node#7f/1")
    ledger.aliases.set("champion", first)
    between = claim_one(ledger, "node#7f/2")
    ledger.aliases.set("champion", second)
    ledger.aliases.set("challenger", first)
    _, (after,) = ledger.claim_when_notified("predict", "node#7f/3", 1.0)
    assert [dict(claim.alias_digests) for claim in (before, between, after)] == [
        {"champion": None, "challenger": None},
        {"champion": first, "challenger": None},
        {"champion": second, "challenger": first},
    ]


def test_an_empty_queue_has_nothing_to_claim(ledger: Ledger) -> None:
    ledger.submit(TrainEnsemble(data="d"))
    assert ledger.claim("predict", OWNER, 10) == []


def test_an_owner_is_one_word(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="without spaces"):
        ledger.claim("predict", "two words")


def test_the_most_urgent_come_first_out_of_a_thousand(ledger: Ledger) -> None:
    start = datetime(2099, 1, 1, tzinfo=UTC)
    order = [number * 337 % 1000 for number in range(1000)]
    # Two jobs a deadline, and each tenth job without one: one of five handed out is of these, by age.
    deadlines = [None if number % 10 == 0 else start + timedelta(minutes=number // 2) for number in order]
    jobs = [
        CheckHealth(nonce=str(number), deadline=deadline) for number, deadline in zip(order, deadlines, strict=True)
    ]
    names = [str(number) for number in order]
    ledger.submit_many(jobs, keys=names)
    dated = [(at, place) for place, at in enumerate(deadlines) if at is not None]
    urgent = [names[place] for _, place in sorted(dated)]
    patient = [name for at, name in zip(deadlines, names, strict=True) if at is None]
    claimed: list[list[str]] = []
    while batch := ledger.claim("predict", f"{OWNER}{len(claimed)}", 30):
        claimed.append([claim.job_id for claim in batch])
    assert [name for batch in claimed for name in batch if name in urgent] == urgent
    assert [name for batch in claimed for name in batch if name in patient] == patient
    assert [sum(name in patient for name in batch) for batch in claimed] == [6] * 16 + [4] + [0] * 17


def test_a_report_succeeds(ledger: Ledger) -> None:
    job_id = submit(ledger)
    assert ledger.settle(claim_one(ledger), REPORT)
    outcome = ledger.outcome(job_id)
    assert outcome is not None
    assert (outcome.state, outcome.report, outcome.failure, outcome.attempt) == (JobState.SUCCEEDED, REPORT, None, 1)
    assert outcome.submitted_at <= outcome.settled_at
    assert ledger.running_jobs() == []


@pytest.mark.parametrize(
    ("code", "state"),
    [
        (FailureCode.INTERNAL, JobState.FAILED),
        (FailureCode.TIME_LIMIT_EXCEEDED, JobState.FAILED),
        (FailureCode.EXPIRED, JobState.EXPIRED),
        (FailureCode.CANCELLED, JobState.CANCELLED),
    ],
)
def test_a_failure_ends_in_its_state(ledger: Ledger, code: FailureCode, state: JobState) -> None:
    job_id = submit(ledger)
    failure = Failure(code=code, message="why", retryable=True, details={"figures": [1, 2.5, None]})
    assert ledger.settle(claim_one(ledger), failure)
    outcome = ledger.outcome(job_id)
    assert outcome is not None
    assert (outcome.state, outcome.failure, outcome.report) == (state, failure, None)


def test_the_first_settle_wins(ledger: Ledger) -> None:
    job_id = submit(ledger)
    claim = claim_one(ledger)
    assert ledger.settle(claim, REPORT)
    assert not ledger.settle(claim, FAILURE)
    assert not ledger.settle(claim, changed(REPORT, memory_mb=2.0))
    assert ledger.settle(claim, REPORT), "a settle told again after a lost reply is the same settle"
    outcome = ledger.outcome(job_id)
    assert outcome is not None
    assert outcome.report == REPORT


def test_a_stale_fence_is_refused_everywhere(ledger: Ledger) -> None:
    job_id = submit(ledger)
    stale = claim_one(ledger, "zombie#1/1")
    assert ledger.report_worker_lost(job_id, stale.fence) is JobState.QUEUED
    current = claim_one(ledger)
    assert current.fence > stale.fence
    assert not ledger.settle(stale, REPORT)
    assert not ledger.release(stale)
    assert not ledger.set_progress(stale, Progress(stage="s", done=1, total=2))
    assert ledger.report_worker_lost(job_id, stale.fence) is JobState.QUEUED, "what it was answered the first time"
    assert ledger.renew([(job_id, stale.fence), (job_id, current.fence), ("never", 1)]) == {job_id, "never"}
    assert ledger.status(job_id).state is JobState.RUNNING
    assert ledger.settle(current, REPORT)
    assert not ledger.settle(stale, REPORT), "the outcome is not the zombie's, even if it says the same"


def test_a_settle_between_two_attempts_is_refused(ledger: Ledger) -> None:
    job_id = submit(ledger)
    claim = claim_one(ledger)
    ledger.report_worker_lost(job_id, claim.fence)
    assert not ledger.settle(claim, REPORT)
    assert ledger.status(job_id).state is JobState.QUEUED


def test_nan_is_named_and_nothing_is_stored(ledger: Ledger) -> None:
    job_id = submit(ledger)
    claim = claim_one(ledger)
    with pytest.raises(ValueError, match="memory_mb is nan"):
        ledger.settle(claim, changed(REPORT, memory_mb=float("nan")))
    assert ledger.status(job_id).state is JobState.RUNNING


def test_several_settle_in_one_step(ledger: Ledger) -> None:
    for name in "abc":
        submit(ledger, name)
    first, second, third = ledger.claim("predict", OWNER, 3)
    ledger.cancel(second.job_id)
    assert ledger.settle_many([(first, REPORT), (second, REPORT), (third, FAILURE)]) == [True, False, True]
    assert [ledger.status(name).state for name in "abc"] == [JobState.SUCCEEDED, JobState.CANCELLED, JobState.FAILED]
    assert ledger.settle_many([]) == []


def test_a_settle_that_breaks_off_in_the_middle_leaves_no_lease_beside_an_outcome(
    ledger: Ledger, hasty: Ledger, until: Callable[..., None]
) -> None:
    for name in ("one", "two"):
        submit(ledger, name)
    claims = hasty.claim("predict", OWNER, 2)
    ledger.server.execute("SET", ledger.server.key("outcomes"), "no stream")
    with pytest.raises(LedgerError, match="WRONGTYPE"):
        ledger.settle_many([(claim, REPORT) for claim in claims])
    ledger.server.execute("DEL", ledger.server.key("outcomes"))
    until(lambda: ledger.reap().requeued)
    assert [ledger.status(name).state for name in ("one", "two")] == [JobState.SUCCEEDED, JobState.QUEUED]


def test_an_overdue_job_is_expired_instead_of_handed_out(ledger: Ledger, until: Callable[..., None]) -> None:
    job_id = submit(ledger, "late", soon(ledger))
    submit(ledger, "patient")
    until(lambda: passed(ledger, job_id))
    assert claim_one(ledger).job_id == "patient"
    outcome = ledger.outcome(job_id)
    assert outcome is not None
    assert outcome.failure is not None
    assert (outcome.state, outcome.failure.code, outcome.attempt) == (JobState.EXPIRED, FailureCode.EXPIRED, 0)


def test_a_report_after_the_deadline_is_not_handed_to_anyone(ledger: Ledger, until: Callable[..., None]) -> None:
    job_id = submit(ledger, "late", soon(ledger))
    claim = claim_one(ledger)
    until(lambda: passed(ledger, job_id))
    assert ledger.settle(claim, REPORT)
    outcome = ledger.outcome(job_id)
    assert outcome is not None
    assert (outcome.state, outcome.report) == (JobState.EXPIRED, None)


def test_reap_expires_what_waits_beyond_its_deadline(ledger: Ledger, until: Callable[..., None]) -> None:
    job_id = submit(ledger, "late", soon(ledger))
    until(lambda: ledger.reap().expired)
    assert ledger.status(job_id).state is JobState.EXPIRED


def test_reap_rings_again_where_a_bell_was_lost(
    ledger: Ledger, ledger_settings: LedgerSettings, until: Callable[..., None]
) -> None:
    bell = f"{ledger_settings.namespace}:doorbell:predict"
    for name in "abc":
        submit(ledger, name)
    assert ledger.reap().rung == 0, "the bells are all there"
    ledger.server.execute("DEL", bell)
    assert ledger.reap().rung == 3
    ledger.server.execute("DEL", bell)
    assert ledger.reap().rung == 0, "not before notify_retry_seconds are over"
    until(lambda: ledger.reap().rung == 3)
    assert ledger.server.execute("LLEN", bell) == 3


def test_a_requeued_job_rings_and_a_released_one_does_not(ledger: Ledger, ledger_settings: LedgerSettings) -> None:
    bell = f"{ledger_settings.namespace}:doorbell:predict"
    submit(ledger)
    claim = claim_one(ledger)
    ledger.server.execute("DEL", bell)
    ledger.release(claim)
    assert ledger.server.execute("LLEN", bell) == 0
    claim = claim_one(ledger)
    ledger.report_worker_lost(claim.job_id, claim.fence)
    assert ledger.server.execute("LLEN", bell) == 1


def test_the_guard_finds_what_its_children_hold(ledger: Ledger) -> None:
    for name in "abc":
        submit(ledger, name)
    ledger.claim("predict", "here#1/10", 2)
    ledger.claim("predict", "here#2/10")
    held = ledger.running_jobs("here#1/")
    assert [(one.job_id, one.owner, one.attempt) for one in held] == [("a", "here#1/10", 1), ("b", "here#1/10", 1)]
    assert all(one.kind == "check_health" and one.queue == "predict" for one in held)
    assert all(one.lease_until - one.claimed_at == timedelta(seconds=10) for one in held)
    assert len(ledger.running_jobs()) == 3
    timeout = Failure(code=FailureCode.TIME_LIMIT_EXCEEDED, message="60 s")
    assert isinstance(held[0], RunningJob)
    assert ledger.settle(held[0], timeout)
    assert ledger.status("a").state is JobState.FAILED


def test_a_job_name_may_hold_spaces_and_colons(ledger: Ledger) -> None:
    job_id = submit(ledger, "UFC 300: Ana / Bea")
    claim = claim_one(ledger)
    assert [held.job_id for held in ledger.running_jobs(OWNER)] == [job_id]
    assert ledger.settle(claim, REPORT)
    assert ledger.running_jobs() == []


def test_a_payload_that_did_not_come_through_submit_fills_no_worker(
    ledger: Ledger, ledger_settings: LedgerSettings
) -> None:
    for name in ("huge", "sound"):
        submit(ledger, name)
    ledger.server.execute("HSET", f"{ledger_settings.namespace}:job:huge", "payload", b" " * (MAX_PAYLOAD_BYTES + 1))
    assert [claim.job_id for claim in ledger.claim("predict", OWNER, 2)] == ["sound"]
    outcome = ledger.outcome("huge")
    assert outcome is not None
    assert outcome.failure is not None
    assert outcome.failure.code is FailureCode.INVALID_INPUT
    assert outcome.failure.details == {"bytes": MAX_PAYLOAD_BYTES + 1, "limit_bytes": MAX_PAYLOAD_BYTES}


def test_a_record_that_vanished_blocks_nobody(
    ledger: Ledger, hasty: Ledger, ledger_settings: LedgerSettings, until: Callable[..., None]
) -> None:
    for name in ("running", "queued", "behind"):
        submit(ledger, name)
    claim_one(hasty)
    for name in ("running", "queued"):
        ledger.server.execute("DEL", f"{ledger_settings.namespace}:job:{name}")
    assert ledger.running_jobs() == []
    assert ledger.claim("predict", "n#9/9") == []
    assert claim_one(ledger).job_id == "behind"
    until(lambda: ledger.reap() and ledger.server.execute("ZCARD", f"{ledger_settings.namespace}:leases") == 1)


def test_a_claim_says_how_many_wait_behind_it(ledger: Ledger) -> None:
    ledger.submit_many([CheckHealth(nonce=str(number)) for number in range(5)])
    assert [claim.queue_length for claim in ledger.claim("predict", OWNER, 2)] == [3, 3]
    assert [claim.queue_length for claim in ledger.claim("predict", f"{OWNER}1", 9)] == [0, 0, 0]


@pytest.mark.parametrize("ring", [False, True])
def test_jobs_given_back_together_ring_only_if_others_are_to_take_them(ledger: Ledger, ring: bool) -> None:
    ledger.submit_many([CheckHealth(nonce=str(number)) for number in range(3)])
    doorbell = f"{ledger.settings.namespace}:doorbell:predict"
    with redis.Redis.from_url(str(ledger.settings.redis_url), protocol=2) as client:
        client.delete(doorbell)
        first, second, third = ledger.claim("predict", OWNER, 3)
        ledger.settle(second, REPORT)
        assert ledger.release_many([first, second, third], ring=ring) == [True, False, True]
        assert client.llen(doorbell) == (2 if ring else 0)
    assert ledger.queue_stats.depths()["predict"] == 2
    assert [claim.attempt for claim in ledger.claim("predict", OWNER, 3)] == [1, 1]


def test_a_shadow_is_queued_by_the_clock_of_the_server(ledger: Ledger) -> None:
    now = datetime.fromtimestamp(ledger.server.time(), UTC)
    shadows = [ShadowCard(card=str(seconds), deadline=now + timedelta(seconds=seconds)) for seconds in (-5, 0.5, 60)]
    assert ledger.submission.submit_shadows([*shadows, ShadowCard(card="undated")], min_seconds=5.0) == 2
    assert [claim.deadline for claim in ledger.claim("monitor", OWNER, 9)][-1] is None
    assert ledger.queue_stats.depths()["monitor"] == 0
