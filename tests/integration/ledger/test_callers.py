"""Who submitted a job is on every record of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from ledger.contracts.failures import JobRefusedError
from ledger.contracts.job_state import Outcome
from ledger.contracts.jobs import CheckHealth, ShadowCard
from ledger.ledger import Ledger
from producer.client import Client
from tests.support.claims import OWNER, REPORT


def test_the_caller_is_on_every_record_of_a_job(ledger: Ledger) -> None:
    job_id = ledger.submit(CheckHealth(), caller="odds-east").job_id
    (claim,) = ledger.claim("predict", OWNER)
    (running,) = ledger.running_jobs()
    assert ledger.settle(claim, REPORT)
    outcome = ledger.outcome(job_id)
    assert outcome is not None
    records = (claim, running, outcome, ledger.status(job_id), ledger.job_records.get(job_id))
    assert [record.caller for record in records] == ["odds-east"] * 5


def test_a_job_without_a_caller_has_none_anywhere(ledger: Ledger) -> None:
    job_id = ledger.submit(CheckHealth()).job_id
    (claim,) = ledger.claim("predict", OWNER)
    (running,) = ledger.running_jobs()
    assert ledger.settle(claim, REPORT)
    outcome = ledger.outcome(job_id)
    assert outcome is not None
    records = (claim, running, outcome, ledger.status(job_id), ledger.job_records.get(job_id))
    assert [record.caller for record in records] == [None] * 5


@pytest.mark.parametrize("caller", ["odds-east", None])
def test_a_waiter_learns_the_caller(ledger: Ledger, until: Callable[..., None], caller: str | None) -> None:
    job_id = ledger.submit(CheckHealth(), caller=caller).job_id
    outcomes: list[Outcome] = []
    waiter = threading.Thread(target=lambda: outcomes.append(ledger.wait(job_id, 30.0)))
    waiter.start()
    channel = ledger.server.key("news", str(ledger.server.database), job_id)
    until(lambda: ledger.server.execute("PUBSUB", "NUMSUB", channel)[1] == 1)
    (claim,) = ledger.claim("predict", OWNER)
    ledger.settle(claim, REPORT)
    waiter.join()
    assert outcomes == [ledger.outcome(job_id)]
    assert outcomes[0].caller == caller


def test_a_known_job_keeps_its_first_caller(ledger: Ledger) -> None:
    receipts = [ledger.submit(CheckHealth(), caller=caller) for caller in ("first", "second", None)]
    assert [receipt.created for receipt in receipts] == [True, False, False]
    assert ledger.status(receipts[0].job_id).caller == "first"


def test_the_setting_names_the_caller_of_a_process_and_the_option_one_of_a_job(ledger: Ledger) -> None:
    own = Ledger.connect(replace(ledger.settings, caller="night-poller"))
    try:
        jobs = [CheckHealth(nonce="by setting"), CheckHealth(nonce="by option")]
        ids = [own.submit(jobs[0]).job_id, Client(own).enqueue(jobs[1], caller="odds-east").job_id]
        ids += [receipt.job_id for receipt in Client(own).enqueue_many([CheckHealth(nonce="many")])]
    finally:
        own.close()
    assert [ledger.status(job_id).caller for job_id in ids] == ["night-poller", "odds-east", "night-poller"]


@pytest.mark.parametrize("name", ["", " ", "a b", "-a", "a:b", "é", "a" * 65, "a\n"])
def test_a_name_that_is_none_is_refused_and_nothing_is_written(ledger: Ledger, name: str) -> None:
    with pytest.raises(JobRefusedError, match="caller"):
        ledger.submit(CheckHealth(), caller=name)
    assert ledger.queue_stats.depths()["predict"] == 0
    with pytest.raises(ValueError, match="CORNERMAN_CALLER"):
        replace(ledger.settings, caller=name)


def test_a_requeued_dead_letter_stays_with_its_caller(ledger: Ledger) -> None:
    job_id = ledger.submit(CheckHealth(), key="poison", caller="odds-east").job_id
    for _ in range(ledger.settings.max_attempts):
        (claim,) = ledger.claim("predict", OWNER)
        ledger.report_worker_lost(job_id, claim.fence)
    assert ledger.dead_letters.get(job_id).caller == "odds-east"
    again = ledger.dead_letters.requeue(job_id).job_id
    assert ledger.status(again).caller == "odds-east"


def test_jobs_that_workers_submit_belong_to_the_caller_of_their_job(ledger: Ledger) -> None:
    shadows = [ShadowCard(card="a"), ShadowCard(card="b")]
    assert ledger.submission.submit_shadows(shadows, callers=["odds-east", None]) == 2
    assert {claim.caller for claim in ledger.claim("monitor", OWNER, 2)} == {"odds-east", None}
