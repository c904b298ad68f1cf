"""Waiting jobs with real pools: an idle pool begins them at their time, and a killed one keeps none from the next."""

from __future__ import annotations

import signal
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from ledger.contracts.chains import ChainState
from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import CheckHealth
from ledger.jobs.job_history import JobEventKind
from ledger.ledger import Ledger

WAIT_SECONDS = 60


def test_an_idle_pool_begins_a_job_at_its_time_and_a_chain_step_by_step(
    ledger: Ledger, start_pool: Callable[..., Any], until: Callable[..., None]
) -> None:
    first = start_pool(concurrency=1, CORNERMAN_LEASE_SECONDS="1")
    begin = datetime.fromtimestamp(ledger.server.time() + 1, UTC)
    ledger.submit(CheckHealth(nonce="timed"), key="timed", not_before=begin)
    outcome = ledger.wait("timed", WAIT_SECONDS)
    assert outcome.state is JobState.SUCCEEDED
    events = {event.event: event.at for event in ledger.job_histories.get("timed").events}
    assert begin <= events[JobEventKind.QUEUED] <= events[JobEventKind.CLAIMED]

    # The pool dies in the middle of the second job; the next pool ends the chain.
    jobs = [CheckHealth(nonce=nonce) for nonce in ("one", "block_at_first", "three")]
    ledger.chains.submit("nightly", jobs)
    until(lambda: ledger.status("nightly/2").state is JobState.RUNNING)
    first.stop(signal.SIGKILL)
    start_pool(concurrency=1, CORNERMAN_LEASE_SECONDS="1")
    ledger.wait("nightly/3", WAIT_SECONDS)
    chain = ledger.chains.status("nightly")
    assert chain.state is ChainState.SUCCEEDED
    assert [job.attempt for job in chain.jobs] == [1, 2, 1]
