"""`durable="replica"` returns when replicas have the job, and says what is missing otherwise."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from ledger.contracts.failures import JobRefusedError
from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import CheckHealth
from ledger.durability.confirmations import Missing, NotDurableError
from ledger.ledger import Ledger, LedgerSettings
from tests.support.loop_ledger import LoopLedger
from tests.support.replicas import ReplicatedServers, replicated_servers


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplicatedServers]:
    with replicated_servers(tmp_path_factory.mktemp("replicas")) as running:
        yield running


@pytest.fixture
def settings(servers: ReplicatedServers, until: Callable[..., None]) -> LedgerSettings:
    until(servers.synced)
    return LedgerSettings(redis_url=servers.urls[0], namespace=f"test-{uuid.uuid4().hex}", appendfsync="always")


@pytest.fixture(params=[Ledger, LoopLedger])
def open_ledger(request: pytest.FixtureRequest) -> Iterator[Callable[[LedgerSettings], Ledger]]:
    opened: list[Any] = []

    def connect(settings: LedgerSettings) -> Ledger:
        opened.append(request.param.connect(settings))
        return opened[-1]  # type: ignore[no-any-return]

    yield connect
    for ledger in opened:
        ledger.close()


def lost(ledger: Ledger, nonce: str) -> NotDurableError:
    with pytest.raises(NotDurableError) as caught:
        ledger.submit(CheckHealth(nonce=nonce), durable="replica")
    return caught.value


@pytest.mark.parametrize("storage", ["disk", "memory"])
def test_what_replicas_have_confirmed_is_there_after_a_failover(
    servers: ReplicatedServers, settings: LedgerSettings, open_ledger: Callable[..., Ledger], storage: str
) -> None:
    ledger = open_ledger(replace(settings, replica_storage=storage))
    receipts = [ledger.submit(CheckHealth(nonce="1"), durable="replica") for _ in range(2)]
    assert [(receipt.created, receipt.durable, receipt.replicas) for receipt in receipts] == [
        (True, True, 1),
        (False, True, 1),
    ]
    servers.detach(1)  # now, so that nothing can follow
    after = open_ledger(replace(settings, redis_url=servers.urls[1]))
    try:
        assert after.status(receipts[0].job_id).state is JobState.QUEUED
    finally:
        servers.attach(1)


def test_without_a_replica_nothing_is_written(
    servers: ReplicatedServers, settings: LedgerSettings, open_ledger: Callable[..., Ledger]
) -> None:
    ledger = open_ledger(replace(settings, durable_replicas=2))
    error = lost(ledger, "1")
    assert (error.missing, error.accepted) == (Missing.REPLICA, False)
    assert "only 1 of 2 replicas are connected" in str(error)
    assert ledger.queue_stats.depths()["predict"] == 0
    assert ledger.submit(CheckHealth(nonce="1"), durable=True).created


def test_a_replica_without_an_append_only_file_is_named(
    servers: ReplicatedServers, settings: LedgerSettings, open_ledger: Callable[..., Ledger]
) -> None:
    ledger = open_ledger(replace(settings, fsync_timeout_seconds=0.3))
    servers.clients[1].config_set("appendonly", "no")
    try:
        error = lost(ledger, "1")
    finally:
        servers.clients[1].config_set("appendonly", "yes")
    assert (error.missing, error.accepted) == (Missing.REPLICA_DISK, True)
    assert "`appendonly yes`" in str(error)
    in_memory = open_ledger(replace(settings, replica_storage="memory"))
    assert in_memory.submit(CheckHealth(nonce="1"), durable="replica").replicas == 1


def test_a_replica_that_does_not_answer_is_named(
    servers: ReplicatedServers, settings: LedgerSettings, open_ledger: Callable[..., Ledger]
) -> None:
    ledger = open_ledger(replace(settings, replica_storage="memory", fsync_timeout_seconds=0.3))
    pause = servers.clients[1].execute_command
    pause("CLIENT", "PAUSE", 700, "ALL")  # also the commands of its primary
    error = lost(ledger, "1")
    assert error.accepted
    assert error.missing is Missing.REPLICA_REPLY
    pause("CLIENT", "UNPAUSE")


def test_a_primary_without_an_append_only_file_is_named(
    servers: ReplicatedServers, settings: LedgerSettings, open_ledger: Callable[..., Ledger]
) -> None:
    ledger = open_ledger(settings)
    servers.clients[0].config_set("appendonly", "no")
    try:
        error = lost(ledger, "1")
        assert (error.missing, error.accepted) == (Missing.APPEND_ONLY_FILE, False)
        assert "CORNERMAN_REPLICA_STORAGE=memory" in str(error)
    finally:
        servers.clients[0].config_set("appendonly", "yes")


def test_another_word_is_refused(settings: LedgerSettings, open_ledger: Callable[..., Ledger]) -> None:
    with pytest.raises(JobRefusedError, match="durable is False, True"):
        open_ledger(settings).submit(CheckHealth(nonce="1"), durable="replicas")  # type: ignore[arg-type]
