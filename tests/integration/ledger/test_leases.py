"""How a running job is kept, given back or lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ledger.contracts.failures import FailureCode
from ledger.contracts.job_state import JobState, Progress
from ledger.contracts.jobs import ROUTES, Route
from ledger.ledger import Ledger, LedgerSettings
from tests.support.claims import OWNER, REPORT, claim_one, submit


def test_a_lease_that_runs_out_gives_the_next_attempt_and_at_last_worker_lost(
    hasty: Ledger, until: Callable[..., None]
) -> None:
    job_id = submit(hasty)
    for attempt in (1, 2, 3):
        claim = claim_one(hasty, f"{OWNER}{attempt}")
        assert claim.attempt == attempt
        until(lambda last=attempt == 3: hasty.reap().lost if last else hasty.reap().requeued)
    outcome = hasty.outcome(job_id)
    assert outcome is not None
    assert outcome.failure is not None
    assert (outcome.state, outcome.failure.code, outcome.attempt) == (JobState.FAILED, FailureCode.WORKER_LOST, 3)
    assert outcome.failure.details == {"attempts": 3}
    assert [letter.job_id for letter in hasty.dead_letters.newest()] == [job_id]
    assert hasty.claim("predict", OWNER) == []


def test_a_renewed_lease_does_not_run_out(ledger: Ledger, hasty: Ledger, until: Callable[..., None]) -> None:
    job_id = submit(ledger)
    claim = claim_one(hasty)
    assert ledger.renew([(job_id, claim.fence)]) == set()
    (held,) = ledger.running_jobs(OWNER)
    until(lambda: ledger.server.time() > claim.claimed_at.timestamp() + 0.05)
    assert ledger.reap().requeued == 0
    assert held.lease_until - claim.claimed_at > timedelta(seconds=9)


def set_clock(ledger: Ledger, seconds: float) -> None:
    """Set the server's clock forward or back: every time that the ledger has noted is older by as much afterwards."""
    server, step = ledger.server.client, round(1000 * seconds)
    for name in ("leases", "parked"):
        for job_id in server.zrange(ledger.server.key(name), 0, -1):
            server.zincrby(ledger.server.key(name), -step, job_id)
    server.decrby(ledger.server.key("looked"), step)
    for queue in server.hkeys(ledger.server.key("rung")):
        server.hincrby(ledger.server.key("rung"), queue, -step)


@pytest.fixture
def short(ledger_settings: LedgerSettings) -> Iterator[Ledger]:
    """The same ledger with leases of half a second."""
    opened = Ledger.connect(replace(ledger_settings, lease_seconds=0.5))
    yield opened
    opened.close()


@pytest.mark.parametrize("seconds", [3600.0, -600.0, 86_400.0 * 30], ids=["forward", "back", "by a month"])
def test_a_clock_that_is_set_takes_no_job_from_its_worker_and_keeps_none_from_the_next(
    seconds: float, short: Ledger, until: Callable[..., None]
) -> None:
    submit(short)
    claim = claim_one(short)
    short.reap()
    set_clock(short, seconds)
    assert short.reap().requeued == 0
    if seconds > 0:
        assert short.renew([(claim.job_id, claim.fence)]) == set()
    since_seconds = time.monotonic()
    until(lambda: short.reap().requeued)
    assert 0.4 < time.monotonic() - since_seconds < 5


@pytest.mark.parametrize("seconds", [3600.0, -600.0], ids=["forward", "back"])
def test_a_job_that_is_claimed_before_a_pool_has_seen_the_new_clock_has_a_whole_lease(
    seconds: float, short: Ledger, until: Callable[..., None]
) -> None:
    submit(short, "before")
    submit(short, "after")
    claim_one(short, f"{OWNER}1")
    short.reap()
    set_clock(short, seconds)
    claim_one(short, f"{OWNER}2")
    assert short.reap().requeued == 0
    since_seconds = time.monotonic()
    until(lambda: short.reap() and not short.running_jobs())
    assert 0.3 < time.monotonic() - since_seconds < 5


def test_a_time_in_which_no_pool_looks_counts_for_a_fifth_of_a_lease(short: Ledger, until: Callable[..., None]) -> None:
    submit(short)
    claim = claim_one(short)
    short.reap()
    away_since = short.server.time()
    until(lambda: short.server.time() > away_since + 0.8)  # longer than the lease
    assert short.reap().requeued == 0
    (held,) = short.running_jobs(OWNER)
    assert 0.25 < held.lease_until.timestamp() - short.server.time() <= 0.5
    assert short.renew([(claim.job_id, claim.fence)]) == set()
    until(lambda: short.reap().requeued)


@pytest.mark.parametrize("seconds", [3600.0, -600.0], ids=["forward", "back"])
def test_a_parked_job_and_a_lost_doorbell_do_not_wait_for_a_clock_that_was_set(
    seconds: float, short: Ledger, until: Callable[..., None]
) -> None:
    submit(short)
    claim = claim_one(short)
    assert short.snooze(claim, due_seconds=0.1)
    short.reap()
    set_clock(short, seconds)
    until(lambda: short.reap() and short.claim("predict", OWNER))
    submit(short, "unheard of")
    short.server.execute("DEL", short.server.key("doorbell", "predict"))
    until(lambda: short.reap().rung)
    short.server.execute("DEL", short.server.key("doorbell", "predict"))
    set_clock(short, seconds)
    until(lambda: short.reap().rung, 5.0)


def test_nobody_has_waited_for_less_than_no_time(ledger: Ledger) -> None:
    job_id = submit(ledger)
    ledger.server.execute(
        "HSET", ledger.server.key("job", job_id), "submitted", round(1000 * (ledger.server.time() + 600))
    )
    assert ledger.queue_stats.backlog().queues["predict"].oldest_seconds == 0.0
    assert claim_one(ledger).queue_wait == timedelta(0)


def test_a_job_over_its_limit_is_tried_again_when_its_pool_is_gone(
    short: Ledger, until: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ROUTES, "check_health", Route("predict", 0.01))  # perhaps it is done, and cannot be settled
    job_id = submit(short)
    claim = claim_one(short)
    until(lambda: short.reap().requeued)
    assert not short.settle(claim, REPORT)
    assert short.settle(claim_one(short), REPORT)
    assert (short.status(job_id).state, short.status(job_id).attempt) == (JobState.SUCCEEDED, 2)


def test_a_pool_that_has_not_looked_lately_judges_no_lease(hasty: Ledger, until: Callable[..., None]) -> None:
    job_id = submit(hasty)
    claim = claim_one(hasty)
    until(lambda: hasty.running_jobs(OWNER)[0].lease_until.timestamp() < hasty.server.time())
    assert hasty.reap(leases=False).requeued == 0
    assert hasty.renew([(job_id, claim.fence)]) == set()
    until(lambda: hasty.reap().requeued)


def test_release_keeps_the_attempt_and_the_place(ledger: Ledger) -> None:
    submit(ledger, "first")
    submit(ledger, "second")
    for _ in range(5):
        claim = claim_one(ledger)
        assert (claim.job_id, claim.attempt) == ("first", 1)
        assert ledger.release(claim)
        assert ledger.release(claim), "told again, it answers the same"
    assert ledger.status("first").attempt == 0


def test_a_claim_whose_reply_got_lost_costs_no_attempt(ledger: Ledger) -> None:
    for name in "ab":
        submit(ledger, name)
    unheard = ledger.claim("predict", OWNER, 2)
    heard = ledger.claim("predict", OWNER, 2)
    assert [(claim.job_id, claim.attempt) for claim in heard] == [("a", 1), ("b", 1)]
    assert not ledger.settle(unheard[0], REPORT), "its fence is void"
    assert ledger.settle(heard[0], REPORT)


def test_a_sign_of_life_sets_the_count_of_lost_replies_back(ledger: Ledger) -> None:
    submit(ledger, "job")
    signs = (
        lambda claim: ledger.set_progress(claim, Progress(stage="s", done=1, total=2)) and ledger.release(claim),
        lambda claim: ledger.snooze(claim, 0.0) and ledger.resume_now("job"),
        lambda claim: ledger.release(claim),
    )
    for sign in 2 * signs:
        for _ in range(ledger.settings.max_attempts):
            claim_one(ledger)  # the reply is lost, and the owner asks again
        claim = claim_one(ledger)
        assert claim.attempt == 1
        assert sign(claim)
        assert (ledger.status("job").state, ledger.status("job").attempt) == (JobState.QUEUED, 0)


def test_replies_that_are_always_lost_come_to_an_end(ledger: Ledger) -> None:
    job_id = submit(ledger)
    attempts = []
    while claims := ledger.claim("predict", OWNER):
        attempts.append(claims[0].attempt)
    assert attempts == [1, 1, 1, 1, 2, 3], "max_attempts times uncharged, then one by one"
    assert [letter.job_id for letter in ledger.dead_letters.newest()] == [job_id]


def test_a_new_claim_of_an_owner_gives_up_what_it_held(ledger: Ledger) -> None:
    submit(ledger)
    lost = claim_one(ledger)
    neighbour = f"{OWNER}1"  # its name begins with the owner's
    submit(ledger, "other")
    kept = claim_one(ledger, neighbour)
    again = claim_one(ledger)
    assert (again.job_id, again.attempt, again.fence > lost.fence) == (lost.job_id, 1, True)
    assert [held.job_id for held in ledger.running_jobs(neighbour)] == [kept.job_id]


def test_a_loss_in_company_charges_who_was_at_work_and_parts_the_company(ledger: Ledger) -> None:
    for name in ("a", "b", "c"):
        submit(ledger, name)
    finished, at_work, waiting = ledger.claim("predict", OWNER, 3)
    assert ledger.report_worker_lost(at_work.job_id, at_work.fence) is JobState.QUEUED
    assert [ledger.release(claim, exclusive=True) for claim in (finished, waiting)] == [True, True]
    submit(ledger, "d")
    alone = [ledger.claim("predict", f"{OWNER}{number}", 3) for number in range(4)]
    assert [[claim.job_id for claim in claims] for claims in alone] == [["a"], ["b"], ["c"], ["d"]]
    assert [claims[0].attempt for claims in alone] == [1, 2, 1, 1]


def test_a_job_that_must_come_alone_ends_the_batch_before_it(ledger: Ledger) -> None:
    submit(ledger, "poison")
    submit(ledger, "innocent")
    for claim in ledger.claim("predict", OWNER, 2):
        ledger.report_worker_lost(claim.job_id, claim.fence)
    submit(ledger, "urgent", datetime(2099, 1, 1, tzinfo=UTC))
    assert [claim.job_id for claim in ledger.claim("predict", "n#2/1", 3)] == ["urgent"]
    assert [claim.job_id for claim in ledger.claim("predict", "n#2/2", 3)] == ["poison"]


def test_a_job_takes_as_many_workers_down_as_it_has_attempts_also_in_company(
    short: Ledger, until: Callable[..., None]
) -> None:
    submit(short, "poison")
    submit(short, "other")
    attempts = [claim.attempt for claim in short.claim("predict", OWNER, 2)]
    until(lambda: short.reap().requeued)  # a whole pool went down, and nobody knows at which of the two
    while claims := short.claim("predict", f"{OWNER}{len(attempts)}", 2):
        (claim,) = claims
        attempts.append(claim.attempt)
        short.report_worker_lost(claim.job_id, claim.fence)
    assert attempts == [1, 1, 2, 3, 2, 3]
    assert {letter.job_id for letter in short.dead_letters.newest()} == {"poison", "other"}
