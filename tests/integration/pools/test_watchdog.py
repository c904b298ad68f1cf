from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import CheckHealth
from ledger.ledger import Ledger
from workers.supervisor.supervisor import NEEDS_RESTART

WAIT_SECONDS = 30
HASTY = {
    "CORNERMAN_LIVENESS_PROBE_SECONDS": "0.2",
    "CORNERMAN_LIVENESS_TIMEOUT_SECONDS": "3",
    "CORNERMAN_SHUTDOWN_GRACE_SECONDS": "0.3",
}


def liveness_queue_of(ledger: Ledger) -> str:
    (announced,) = ledger.pools.alive()
    return f"canary-{announced['name']}"


def test_a_pool_that_consumes_proves_it_and_leaves_no_trace(
    ledger: Ledger, start_pool: Callable[..., Any], until: Callable[..., None]
) -> None:
    pool = start_pool(concurrency=1, **HASTY)
    queue = liveness_queue_of(ledger)
    answers: set[bytes] = set()
    until(lambda: (answers.add(ledger.liveness_probes.answer(queue) or b""), len(answers - {b""}) >= 3)[1])
    assert ledger.pools.alive()[0]["healthy"] is True
    assert [*ledger.follow("0", idle_seconds=0.01)] == []
    assert ledger.dead_letters.newest() == []
    assert ledger.queue_stats.depths() == {"monitor": 0, "predict": 0, "train": 0}
    assert pool.stop() == 0
    until(lambda: not ledger.server.execute("EXISTS", f"{ledger.settings.namespace}:canary:{queue}"))
    assert '"event": "job"' not in pool.log.read_text()


@pytest.mark.parametrize("wedge", ["children stopped", "loop held up"])
def test_a_pool_that_consumes_nothing_says_so_and_ends(
    wedge: str, ledger: Ledger, start_pool: Callable[..., Any], until: Callable[..., None]
) -> None:
    pool = start_pool(concurrency=2, **HASTY)
    queue, children = liveness_queue_of(ledger), pool.children()
    until(lambda: ledger.liveness_probes.answer(queue))
    if wedge == "children stopped":
        for child in children:
            child.suspend()
    else:
        os.kill(pool.pid, signal.SIGUSR2)
    job_id = ledger.submit(CheckHealth(nonce="answer")).job_id
    until(lambda: any(not announced["healthy"] for announced in ledger.pools.alive()))
    assert pool.process.wait(WAIT_SECONDS) == NEEDS_RESTART
    assert "consumes nothing" in pool.log.read_text()
    assert psutil.wait_procs(children, WAIT_SECONDS)[1] == []
    start_pool(concurrency=1, **HASTY)  # as its supervisor would
    outcome = ledger.wait(job_id, WAIT_SECONDS)
    assert (outcome.state, outcome.attempt) == (JobState.SUCCEEDED, 1)
