"""Outcomes that nobody sees before the disk or replicas have them, and what becomes of them at a failover."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.contracts.failures import Failure, FailureCode
from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import CheckHealth
from ledger.contracts.reports import HealthReport
from ledger.durability.confirmations import Missing, NotDurableError
from ledger.ledger import Ledger, LedgerSettings
from tests.support.replicas import ReplicatedServers, replicated_servers

REPORT = HealthReport(status="healthy", checks=(), model="m", memory_mb=1.0)
OTHER = HealthReport(status="healthy", checks=(), model="m", memory_mb=2.0)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplicatedServers]:
    with replicated_servers(tmp_path_factory.mktemp("replicas")) as running:
        yield running


@pytest.fixture
def settings() -> LedgerSettings:
    return LedgerSettings(namespace=f"test-{uuid.uuid4().hex}", replica_storage="memory", outcome_durability="replica")


@pytest.fixture
def connect(servers: ReplicatedServers, settings: LedgerSettings) -> Iterator[Callable[[int], Ledger]]:
    opened: list[Ledger] = []

    def to(index: int) -> Ledger:
        opened.append(Ledger.connect(replace(settings, redis_url=servers.urls[index])))
        return opened[-1]

    yield to
    for ledger in opened:
        ledger.close()


@pytest.fixture
def ledger(connect: Callable[[int], Ledger], servers: ReplicatedServers, until: Callable[..., None]) -> Ledger:
    servers.promote(0)
    until(servers.synced)
    opened = connect(0)
    opened.outcome_confirmation.set_durability()
    return opened


def prepare(ledger: Ledger, nonce: str = "1", result: HealthReport | Failure = REPORT) -> str:
    """Submit a job and settle it, so that its outcome is prepared."""
    job_id = ledger.submit(CheckHealth(nonce=nonce)).job_id
    (claim,) = ledger.claim("predict", "n#1/1")
    assert ledger.settle(claim, result)
    assert ledger.settle(claim, result), "a repeated call gets the same answer"
    assert not ledger.settle(claim, OTHER)
    return job_id


def test_a_prepared_outcome_is_final_and_nobody_sees_it(ledger: Ledger) -> None:
    follower = ledger.follow("0", idle_seconds=0.01)
    job_id = prepare(ledger)
    after = ledger.submit(CheckHealth(nonce="2"), after=job_id).job_id
    assert ledger.status(job_id).state is JobState.RUNNING
    assert ledger.outcome(job_id) is None
    assert list(follower) == []
    assert ledger.running_jobs() == []
    assert ledger.job_index.page().jobs[-1].state is JobState.RUNNING
    assert ledger.status(after).state is JobState.WAITING

    assert ledger.outcome_confirmation.confirm().shown == 1

    outcome = ledger.outcome(job_id)
    assert outcome is not None
    assert outcome.report == REPORT
    assert [found.job_id for _, found in ledger.follow("0", idle_seconds=0.01)] == [job_id]
    assert ledger.status(after).state is JobState.QUEUED
    assert ledger.outcome_confirmation.confirm().shown == 0


def test_what_was_seen_is_there_after_a_failover_and_becomes_visible_again(
    ledger: Ledger, connect: Callable[[int], Ledger], servers: ReplicatedServers
) -> None:
    job_id = prepare(ledger)
    listed = ledger.server.run_script_then("confirm", (10, "", ""), ("WAIT", 1, 5000))
    (_, _, run, marked, *entries), replicas = listed
    assert replicas == 1
    servers.detach(1)  # what follows is lost
    ledger.server.run_script("confirm", 0, run, marked, *entries)
    seen = ledger.outcome(job_id)
    (place,) = (at for at, _ in ledger.follow("0", idle_seconds=0.01))
    assert seen is not None

    servers.promote(1)
    promoted = connect(1)
    assert promoted.outcome(job_id) is None
    assert promoted.claim("predict", "n#1/2") == [], "nobody runs it again"
    assert promoted.server.run_script("confirm", 0, run, marked, *entries)[0] == 0, "another server confirmed that"
    assert promoted.outcome_confirmation.confirm().shown == 1
    assert promoted.outcome(job_id) == seen
    again = [(at, found.job_id) for at, found in promoted.follow("0", idle_seconds=0.01)]
    assert [found for _, found in again] == [job_id]
    assert _key(again[0][0]) > _key(place), "who has read on the old server does not miss it"


def test_what_the_replica_does_not_have_runs_again_and_nobody_has_seen_it(
    ledger: Ledger, connect: Callable[[int], Ledger], servers: ReplicatedServers
) -> None:
    job_id = ledger.submit(CheckHealth(nonce="1"), durable="replica").job_id
    servers.detach(1)
    (claim,) = ledger.claim("predict", "n#1/1")
    assert ledger.settle(claim, REPORT)
    impatient = LedgerSettings(**{**ledger.server.settings.__dict__, "fsync_timeout_seconds": 0.05})
    waiting = Ledger.connect(impatient)
    confirmed = waiting.outcome_confirmation.confirm()
    assert (confirmed.shown, confirmed.waiting, confirmed.missing) == (0, 1, Missing.REPLICA)
    assert ledger.outcome(job_id) is None
    waiting.close()

    servers.promote(1)
    promoted = connect(1)
    (claim,) = promoted.claim("predict", "n#1/2")
    assert promoted.settle(claim, OTHER)
    servers.promote(1)
    assert promoted.outcome_confirmation.confirm().shown == 1
    outcome = promoted.outcome(job_id)
    assert outcome is not None
    assert outcome.report == OTHER


def test_whatever_ends_a_job_only_prepares_its_outcome(ledger: Ledger, settings: LedgerSettings) -> None:
    waiting = ledger.submit(CheckHealth(nonce="w")).job_id
    assert ledger.cancel(waiting).state is JobState.CANCELLED, "a caller that cancels confirms it"
    lost = ledger.submit(CheckHealth(nonce="l")).job_id
    for attempt in range(settings.max_attempts):
        (claim,) = ledger.claim("predict", f"n#1/{attempt}")
        ledger.report_worker_lost(claim.job_id, claim.fence)
    assert ledger.status(lost).state is JobState.RUNNING
    assert ledger.dead_letters.newest() == []
    prepared = prepare(ledger, "p", Failure(code=FailureCode.INTERNAL, message="no"))
    ledger.server.run_script("cancel", prepared, lost)
    ledger.outcome_confirmation.confirm()
    states = [ledger.status(job_id).state for job_id in (waiting, lost, prepared)]
    assert states == [JobState.CANCELLED, JobState.FAILED, JobState.FAILED]
    assert [letter.job_id for letter in ledger.dead_letters.newest()] == [lost]


def test_a_cancelled_job_that_cannot_be_confirmed_is_said_to_be_cancelled(
    ledger: Ledger, servers: ReplicatedServers
) -> None:
    job_id = ledger.submit(CheckHealth(nonce="1")).job_id
    servers.detach(1)
    impatient = Ledger.connect(LedgerSettings(**{**ledger.server.settings.__dict__, "fsync_timeout_seconds": 0.05}))
    with pytest.raises(NotDurableError, match=r"cancelled, but on 0 of 1 replicas") as caught:
        impatient.cancel(job_id)
    assert caught.value.accepted
    impatient.close()


def test_the_setting_is_the_ledgers(ledger: Ledger, connect: Callable[[int], Ledger], settings: LedgerSettings) -> None:
    assert ledger.outcome_confirmation.set_durability() is None
    other = Ledger.connect(replace(ledger.server.settings, outcome_durability=None))
    assert other.outcome_confirmation.set_durability() is None
    job_id = prepare(other)
    assert other.outcome(job_id) is None
    off = Ledger.connect(replace(ledger.server.settings, outcome_durability="none"))
    assert off.outcome_confirmation.set_durability() == "none"
    assert off.outcome_confirmation.confirm().shown == 1, "also what was prepared before"
    assert other.outcome(prepare(other, "2")) is not None
    off.close()
    other.close()


def test_outcomes_on_disk(tmp_path: Path) -> None:
    with replicated_servers(tmp_path, replicas=0) as single:
        ledger = Ledger.connect(LedgerSettings(redis_url=single.urls[0], outcome_durability="disk"))
        assert ledger.outcome_confirmation.set_durability() == "disk"
        job_id = prepare(ledger)
        assert ledger.outcome(job_id) is None
        assert ledger.outcome_confirmation.confirm_when_notified(5.0).shown == 1
        assert ledger.outcome(job_id) is not None
        single.clients[0].config_set("appendonly", "no")
        prepare(ledger, "2")
        assert ledger.outcome_confirmation.confirm().missing is Missing.APPEND_ONLY_FILE
        ledger.close()


def _key(place: str) -> tuple[int, int]:
    milliseconds, _, sequence = place.partition("-")
    return int(milliseconds), int(sequence)
