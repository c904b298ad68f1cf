from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from ledger.contracts.failures import FailureCode
from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import CheckHealth, TrainEnsemble
from ledger.ledger import Ledger

WAIT_SECONDS = 30


def ask(ledger: Ledger, nonce: str) -> str:
    return ledger.submit(CheckHealth(nonce=nonce)).job_id


def running_child(ledger: Ledger, job_id: str, until: Callable[..., None]) -> int:
    """Wait until a child is in the middle of a job; the probe tells its process id as progress."""
    until(lambda: ledger.status(job_id).progress)
    progress = ledger.status(job_id).progress
    assert progress is not None
    return int(progress.stage)


def test_a_killed_child_costs_one_attempt(
    ledger: Ledger, start_pool: Callable[..., Any], until: Callable[..., None]
) -> None:
    start_pool(concurrency=1)
    job_id = ask(ledger, "block_at_first")
    child = running_child(ledger, job_id, until)
    os.kill(child, signal.SIGKILL)
    outcome = ledger.wait(job_id, WAIT_SECONDS)
    assert (outcome.state, outcome.attempt) == (JobState.SUCCEEDED, 2)
    history = ledger.job_histories.get(job_id)
    assert [event.event for event in history.events] == ["submitted", "claimed", "worker_lost", "claimed", "succeeded"]
    assert history.events[2].worker == history.events[1].worker
    assert f"process {child} ended in the middle of the job" in (history.events[2].reason or "")


@pytest.mark.parametrize("where", ["block", "block_in_callback"])
def test_a_terminated_child_hands_its_job_back(
    where: str, ledger: Ledger, start_pool: Callable[..., Any], until: Callable[..., None]
) -> None:
    pool = start_pool(concurrency=1)
    job_id = ask(ledger, where)
    os.kill(running_child(ledger, job_id, until), signal.SIGTERM)
    until(lambda: '"outcome": "released", "reason": "the child must stop"' in pool.log.read_text())
    until(lambda: ledger.status(job_id).state is JobState.RUNNING)  # by the child that took its place
    assert ledger.status(job_id).attempt == 1


@pytest.mark.parametrize("poison", ["kill_itself", "os_exit", "raise_system_exit"])
def test_poison_ends_after_its_attempts_and_its_neighbours_are_answered(
    poison: str, ledger: Ledger, start_pool: Callable[..., Any]
) -> None:
    start_pool()
    jobs = [CheckHealth(nonce=f"answer:{number}") for number in range(20)]
    jobs.insert(3, CheckHealth(nonce=poison))
    outcomes = [ledger.wait(receipt.job_id, WAIT_SECONDS) for receipt in ledger.submit_many(jobs)]
    lost = outcomes.pop(3)
    assert lost.failure is not None
    assert (lost.failure.code, lost.attempt) == (FailureCode.WORKER_LOST, ledger.settings.max_attempts)
    assert {(outcome.state, outcome.attempt) for outcome in outcomes} == {(JobState.SUCCEEDED, 1)}


def test_what_an_idle_child_seems_to_hold_goes_back(
    ledger: Ledger, start_pool: Callable[..., Any], until: Callable[..., None]
) -> None:
    pool = start_pool(concurrency=1)
    (announced,) = ledger.pools.alive()
    # As after a claim whose reply got lost; in a queue that nobody works off, so that the child stays idle.
    job_id = ledger.submit(TrainEnsemble(data="nowhere")).job_id
    (claim,) = ledger.claim("train", f"{announced['name']}/{pool.children()[0].pid}")
    assert claim.job_id == job_id
    until(lambda: ledger.status(job_id).state is JobState.QUEUED)
    assert ledger.status(job_id).attempt == 0


def test_another_pool_finishes_what_a_dead_one_held(
    ledger: Ledger, start_pool: Callable[..., Any], until: Callable[..., None]
) -> None:
    short = {"CORNERMAN_LEASE_SECONDS": "1"}
    pool = start_pool(concurrency=1, **short)
    job_id = ask(ledger, "block_at_first")
    child = psutil.Process(running_child(ledger, job_id, until))
    pool.process.kill()
    pool.process.wait(WAIT_SECONDS)
    start_pool(concurrency=1, **short)
    outcome = ledger.wait(job_id, WAIT_SECONDS)
    assert (outcome.state, outcome.attempt) == (JobState.SUCCEEDED, 2)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("to_group", [False, True], ids=["main process", "whole group"])
def test_sigterm_hands_an_unfinished_job_back(
    to_group: bool, ledger: Ledger, start_pool: Callable[..., Any], until: Callable[..., None]
) -> None:
    pool = start_pool(concurrency=1, CORNERMAN_SHUTDOWN_GRACE_SECONDS="0.3")
    job_id = ask(ledger, "block")
    running_child(ledger, job_id, until)
    if to_group:
        os.killpg(pool.pid, signal.SIGTERM)
        assert pool.process.wait(WAIT_SECONDS) == 0
    else:
        assert pool.stop() == 0
    status = ledger.status(job_id)
    assert (status.state, status.attempt) == (JobState.QUEUED, 0)


def test_ctrl_c_on_the_group_leaves_no_process(
    ledger: Ledger, start_pool: Callable[..., Any], until: Callable[..., None]
) -> None:
    pool = start_pool(concurrency=2, CORNERMAN_SHUTDOWN_GRACE_SECONDS="0.3")
    job_id = ask(ledger, "hold_interpreter")
    running_child(ledger, job_id, until)
    children = pool.children()
    os.killpg(pool.pid, signal.SIGINT)
    pool.process.wait(WAIT_SECONDS)
    assert psutil.wait_procs(children, WAIT_SECONDS)[1] == []
    assert ledger.status(job_id).state is JobState.QUEUED


@pytest.mark.parametrize("killed", [0, 1])
def test_if_the_pool_dies_that_reaps_for_all_another_idle_pool_reaps(
    killed: int, ledger: Ledger, start_pool: Callable[..., Any], until: Callable[..., None]
) -> None:
    intervals = {
        "CORNERMAN_SUPERVISOR_INTERVAL_SECONDS": "0.05",
        "CORNERMAN_SUPERVISOR_IDLE_INTERVAL_SECONDS": "0.5",
        "CORNERMAN_HEARTBEAT_SECONDS": "1",
    }
    pools = [start_pool(concurrency=1, queue=queue, **intervals) for queue in ("predict", "monitor")]
    reaps = [0]

    def reaped() -> int:
        if (last := int(ledger.server.execute("GET", ledger.server.key("looked")) or 0)) != reaps[-1]:
            reaps.append(last)
        return len(reaps)

    until(lambda: reaped() > 2 and reaps[-1] - reaps[-2] > 400)  # milliseconds: both are idle
    pools[killed].stop(signal.SIGKILL)
    seen = reaped()
    until(lambda: reaped() > seen + 3)
