"""A child that has nothing to do listens at the server, and comes back when it is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psutil

from ledger.contracts.jobs import CheckHealth
from ledger.ledger import Ledger
from workers.pool.liveness_probe import answer_liveness_probe
from workers.pool.pool import WorkerPool
from workers.settings import WorkerSettings
from workers.supervisor.watchdog import Watchdog

QUICK = {
    "CORNERMAN_QUEUE_SLICE_SECONDS": "0.1",
    "CORNERMAN_LIVENESS_PROBE_SECONDS": "0.5",
    "CORNERMAN_LIVENESS_TIMEOUT_SECONDS": "5",
}


def listens(ledger: Ledger, child: psutil.Process) -> bool:
    """Whether a child itself waits at the server for a doorbell."""
    ports = {connection.laddr.port for connection in child.net_connections("tcp")}
    blocked = [client for client in ledger.server.client.client_list() if client["cmd"] == "brpop"]
    return any(int(client["addr"].rpartition(":")[2]) in ports for client in blocked)


def proofs(ledger: Ledger, count: int, until: Callable[..., None]) -> None:
    """Wait for so many proofs that the pool consumes, while there is no job."""
    (announced,) = ledger.pools.alive()
    answers = {ledger.liveness_probes.answer(f"canary-{announced['name']}") or b""}
    until(
        lambda: (
            answers.add(ledger.liveness_probes.answer(f"canary-{announced['name']}") or b"") or len(answers) > count
        ),
        30,
    )


def answered(ledger: Ledger, nonce: str) -> None:
    ledger.wait(ledger.submit(CheckHealth(nonce=nonce)).job_id, 30)


def test_all_children_listen_for_as_long_as_nothing_calls_them(
    ledger: Ledger, start_pool: Callable[..., Any], until: Callable[..., None]
) -> None:
    pool = start_pool(concurrency=2, **QUICK)
    answered(ledger, "one")
    until(lambda: all(listens(ledger, child) for child in pool.children()), 30)
    proofs(ledger, 3, until)
    until(lambda: all(listens(ledger, child) for child in pool.children()))
    assert pool.stop() == 0


def test_a_child_that_listens_is_called_back_for_the_proof_that_its_pool_consumes(
    ledger: Ledger, start_pool: Callable[..., Any], until: Callable[..., None]
) -> None:
    start_pool(concurrency=1, **QUICK)
    answered(ledger, "one")
    proofs(ledger, 3, until)
    assert ledger.pools.alive()[0]["healthy"] is True


def test_one_child_is_called_back_and_none_where_one_was_free(ledger: Ledger) -> None:
    pool = WorkerPool(WorkerSettings(ledger=ledger.settings), {})
    pool.scoreboard.request_child()
    assert pool.scoreboard.take_request()
    assert not pool.scoreboard.take_request()
    Watchdog(pool).tick(ledger, [], 0.0)
    answer_liveness_probe(pool, ledger, pool.owner(1))
    assert not pool.scoreboard.take_request()


def test_a_child_of_a_drained_node_takes_no_doorbell_from_others(
    ledger: Ledger, start_pool: Callable[..., Any], until: Callable[..., None]
) -> None:
    pool = start_pool(concurrency=1, **QUICK)
    answered(ledger, "one")
    (child,) = pool.children()
    until(lambda: listens(ledger, child), 30)
    drain = f"drain.{ledger.pools.alive()[0]['node']}"
    ledger.controls.set({drain: True}, user="me", reason="test")
    until(lambda: not listens(ledger, child))
    proofs(ledger, 2, until)  # by then the pop is over that Celery had begun before
    ledger.server.execute("DEL", ledger.server.key("doorbell", "predict"))
    job_id = ledger.submit(CheckHealth(nonce="two")).job_id
    bells = ("LLEN", ledger.server.key("doorbell", "predict"))
    proofs(ledger, 2, until)
    assert ledger.server.execute(*bells) == 1
    ledger.controls.set({drain: None}, user="me", reason="test")
    assert ledger.wait(job_id, 30).report is not None
