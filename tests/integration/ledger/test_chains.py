"""Chains of jobs: accepted as a whole, once; one state to look at."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from ledger.contracts.chains import ChainState
from ledger.contracts.failures import FailureCode, JobRefusedError, UnknownJobError
from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import CheckHealth
from ledger.jobs.chains import MAX_CHAIN_JOBS
from ledger.ledger import Ledger
from tests.support.claims import FAILURE, OWNER, REPORT, claim_one
from tests.support.job_index import check_index


def steps(count: int = 3) -> list[CheckHealth]:
    return [CheckHealth(nonce=f"step {number}") for number in range(1, count + 1)]


def states(ledger: Ledger, name: str = "nightly") -> list[JobState]:
    return [job.state for job in ledger.chains.status(name).jobs]


def settle(ledger: Ledger, result: Any = REPORT) -> str:
    claim = claim_one(ledger)
    assert ledger.settle(claim, result)
    return claim.job_id


def test_each_job_runs_when_the_one_before_has_succeeded(ledger: Ledger) -> None:
    receipts = ledger.chains.submit("nightly", steps(), correlation_id="c", caller="us")
    assert [(receipt.job_id, receipt.created) for receipt in receipts] == [
        ("nightly", True),
        ("nightly/2", True),
        ("nightly/3", True),
    ]
    seen = []
    for _ in range(3):
        chain = ledger.chains.status("nightly")
        seen.append((chain.state, chain.step, settle(ledger)))
    assert seen == [
        (ChainState.RUNNING, 1, "nightly"),
        (ChainState.RUNNING, 2, "nightly/2"),
        (ChainState.RUNNING, 3, "nightly/3"),
    ]
    chain = ledger.chains.status("nightly")
    assert (chain.state, chain.step, chain.failure) == (ChainState.SUCCEEDED, 3, None)
    outcome = ledger.outcome("nightly/2")
    assert outcome is not None
    assert (outcome.correlation_id, outcome.caller) == ("c", "us")
    check_index(ledger)


def test_the_same_chain_again_is_the_same_chain(ledger: Ledger) -> None:
    ledger.chains.submit("nightly", steps())
    settle(ledger)
    # The record of the first job may expire before the last job ends.
    ledger.server.client.delete(ledger.server.key("job", "nightly"))
    assert [receipt.created for receipt in ledger.chains.submit("nightly", steps())] == [False] * 3
    assert states(ledger) == [JobState.FORGOTTEN, JobState.QUEUED, JobState.WAITING]
    chain = ledger.chains.status("nightly")
    assert (chain.state, chain.step) == (ChainState.RUNNING, 2)


def test_a_name_belongs_to_one_chain(ledger: Ledger) -> None:
    ledger.chains.submit("nightly", steps())
    ledger.submit(CheckHealth(nonce="step 1"), key="single")
    others: list[tuple[str, list[CheckHealth]]] = [
        ("nightly", steps(4)),
        ("nightly", steps(2)),
        ("nightly", [*steps(2), CheckHealth(nonce="other")]),
        ("single", steps()),
    ]
    for name, jobs in others:
        with pytest.raises(JobRefusedError, match="names a job with other content"):
            ledger.chains.submit(name, jobs)
    assert ledger.status("nightly/4").state is ledger.status("single/2").state is JobState.UNKNOWN


def test_a_failed_job_ends_the_chain(ledger: Ledger) -> None:
    ledger.chains.submit("nightly", steps())
    settle(ledger)
    settle(ledger, FAILURE)
    chain = ledger.chains.status("nightly")
    assert (chain.state, chain.step, chain.failure) == (ChainState.FAILED, 2, FAILURE)
    assert states(ledger) == [JobState.SUCCEEDED, JobState.FAILED, JobState.FAILED]
    last = ledger.outcome("nightly/3")
    assert last is not None
    assert last.failure is not None
    assert last.failure.code is FailureCode.PREDECESSOR_FAILED


def test_a_chain_waits_for_a_time_and_a_job_before_it(ledger: Ledger) -> None:
    ledger.submit(CheckHealth(nonce="before"), key="before")
    begin = datetime.fromtimestamp(ledger.server.time() + 3600, UTC)
    ledger.chains.submit("nightly", steps(2), not_before=begin, after="before")
    assert ledger.chains.status("nightly").state is ChainState.WAITING
    settle(ledger)
    first, second = ledger.chains.status("nightly").jobs
    assert first.not_before is not None
    assert first.after == "before"
    assert (second.not_before, second.after) == (None, "nightly")


def test_all_jobs_of_a_chain_are_cancelled_together(ledger: Ledger) -> None:
    ledger.chains.submit("nightly", steps())
    settle(ledger)
    ledger.claim("predict", OWNER)
    chain = ledger.chains.cancel("nightly")
    assert (chain.state, chain.step) == (ChainState.CANCELLED, 2)
    assert states(ledger) == [JobState.SUCCEEDED, JobState.CANCELLED, JobState.CANCELLED]
    assert ledger.chains.cancel("nightly") == chain
    check_index(ledger)


def test_what_is_no_chain_is_said_so(ledger: Ledger) -> None:
    ledger.submit(CheckHealth(), key="single")
    for name in ("single", "nobody"):
        with pytest.raises(UnknownJobError, match=name):
            ledger.chains.status(name)
    for name, jobs in (("a/b", steps()), ("", steps()), ("a", []), ("a", steps(MAX_CHAIN_JOBS + 1))):
        with pytest.raises(JobRefusedError):
            ledger.chains.submit(name, jobs)
    with pytest.raises(JobRefusedError, match="schema version"):
        ledger.chains.submit("a", [*steps(2), CheckHealth(schema_version=99)])
    assert ledger.status("a").state is JobState.UNKNOWN
