"""How a running job is kept, given back or lost."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from ledger.book import Ledger
from ledger.failures import FailureCode
from ledger.jobs import ROUTES, Route
from ledger.outcomes import State
from tests.integration.claiming import OWNER, REPORT, claim_one, submit


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
    assert (outcome.state, outcome.failure.code, outcome.attempt) == (State.FAILED, FailureCode.WORKER_LOST, 3)
    assert outcome.failure.details == {"attempts": 3}
    assert [letter.job_id for letter in hasty.dead_letters()] == [job_id]
    assert hasty.claim("predict", OWNER) == []


def test_a_renewed_lease_does_not_run_out(ledger: Ledger, hasty: Ledger, until: Callable[..., None]) -> None:
    job_id = submit(ledger)
    claim = claim_one(hasty)
    assert ledger.renew([(job_id, claim.fence)]) == set()
    (held,) = ledger.held_by(OWNER)
    until(lambda: ledger.server_time() > claim.claimed_at.timestamp() + 0.05)
    assert ledger.reap().requeued == 0
    assert held.lease_until - claim.claimed_at > timedelta(seconds=9)


def test_a_job_over_its_limit_whose_pool_is_gone_ends_typed_before_its_lease_does(
    ledger: Ledger, until: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ROUTES, "check_health", Route("predict", 0.1))
    job_id = submit(ledger)
    claim_one(ledger)
    (held,) = ledger.held_by(OWNER)
    until(lambda: ledger.reap().overtime)
    outcome = ledger.outcome(job_id)
    assert outcome is not None
    assert outcome.failure is not None
    assert (outcome.failure.code, outcome.attempt) == (FailureCode.TIME_LIMIT_EXCEEDED, 1)
    assert outcome.settled_at - held.claimed_at < timedelta(seconds=2.1)
    assert outcome.settled_at < held.lease_until


def test_the_limit_of_a_job_in_company_is_its_guard_s_alone(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, until: Callable[..., None]
) -> None:
    monkeypatch.setitem(ROUTES, "check_health", Route("predict", 0.1))
    for name in ("a", "b"):
        submit(ledger, name)
    first, _ = ledger.claim("predict", OWNER, 2)
    until(lambda: ledger.server_time() > first.claimed_at.timestamp() + 1.8)
    assert ledger.reap().overtime == 0


def test_leases_that_ran_out_in_an_outage_are_spared_until_their_owners_had_time_to_renew(
    hasty: Ledger, until: Callable[..., None]
) -> None:
    job_id = submit(hasty)
    claim = claim_one(hasty)
    until(lambda: hasty.held_by(OWNER)[0].lease_until.timestamp() < hasty.server_time())
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
        assert not ledger.release(claim)
    assert ledger.status("first").attempt == 0


def test_a_claim_whose_reply_got_lost_costs_no_attempt(ledger: Ledger) -> None:
    for name in "ab":
        submit(ledger, name)
    unheard = ledger.claim("predict", OWNER, 2)
    heard = ledger.claim("predict", OWNER, 2)
    assert [(claim.job_id, claim.attempt) for claim in heard] == [("a", 1), ("b", 1)]
    assert not ledger.settle(unheard[0], REPORT), "its fence is void"
    assert ledger.settle(heard[0], REPORT)


def test_replies_that_are_always_lost_come_to_an_end(ledger: Ledger) -> None:
    job_id = submit(ledger)
    attempts = []
    while claims := ledger.claim("predict", OWNER):
        attempts.append(claims[0].attempt)
    assert attempts == [1, 1, 1, 1, 2, 3], "max_attempts times uncharged, then one by one"
    assert [letter.job_id for letter in ledger.dead_letters()] == [job_id]


def test_a_new_claim_of_an_owner_gives_up_what_it_held(ledger: Ledger) -> None:
    submit(ledger)
    lost = claim_one(ledger)
    neighbour = f"{OWNER}1"  # its name begins with the owner's
    submit(ledger, "other")
    kept = claim_one(ledger, neighbour)
    again = claim_one(ledger)
    assert (again.job_id, again.attempt, again.fence > lost.fence) == (lost.job_id, 1, True)
    assert [held.job_id for held in ledger.held_by(neighbour)] == [kept.job_id]


def test_a_loss_in_company_charges_nobody_and_parts_the_company(ledger: Ledger) -> None:
    for name in ("a", "b", "c"):
        submit(ledger, name)
    batch = ledger.claim("predict", OWNER, 3)
    assert [ledger.lose(claim.job_id, claim.fence) for claim in batch] == [State.QUEUED] * 3
    submit(ledger, "d")
    alone = [ledger.claim("predict", f"{OWNER}{number}", 3) for number in range(4)]
    assert [[claim.job_id for claim in claims] for claims in alone] == [["a"], ["b"], ["c"], ["d"]]
    assert [claims[0].attempt for claims in alone] == [1, 1, 1, 1]


def test_a_job_that_must_come_alone_ends_the_batch_before_it(ledger: Ledger) -> None:
    submit(ledger, "poison")
    submit(ledger, "innocent")
    for claim in ledger.claim("predict", OWNER, 2):
        ledger.lose(claim.job_id, claim.fence)
    submit(ledger, "urgent", datetime(2099, 1, 1, tzinfo=UTC))
    assert [claim.job_id for claim in ledger.claim("predict", "n#2/1", 3)] == ["urgent"]
    assert [claim.job_id for claim in ledger.claim("predict", "n#2/2", 3)] == ["poison"]


def test_attempts_never_exceed_the_most_allowed(ledger: Ledger) -> None:
    submit(ledger, "poison")
    submit(ledger, "other")
    attempts = []
    for claim in ledger.claim("predict", OWNER, 2):
        ledger.lose(claim.job_id, claim.fence)
    while (claim := claim_one(ledger)).job_id == "poison":
        attempts.append(claim.attempt)
        ledger.lose(claim.job_id, claim.fence)
    assert attempts == [1, 2, 3]
