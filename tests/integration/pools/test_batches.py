"""Claims in company: each job ends by itself, whatever becomes of its neighbours."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ledger.contracts.failures import FailureCode
from ledger.contracts.job_state import JobState, Outcome
from ledger.contracts.jobs import CheckHealth
from ledger.ledger import Ledger

WAIT_SECONDS = 30
COMPANY = {"PROBE_COMPANY": "1", "CORNERMAN_QUEUE_SLICE_SECONDS": "60"}


@contextmanager
def held(pool: Any) -> Iterator[None]:
    """Stop a pool while a backlog is made."""
    os.killpg(pool.pid, signal.SIGSTOP)
    yield
    os.killpg(pool.pid, signal.SIGCONT)


def backlog(ledger: Ledger, pool: Any, count: int, special: dict[int, str]) -> list[str]:
    """Submit jobs at once that answer, but for some that behave otherwise; return their ids."""
    jobs = [CheckHealth(nonce=f"{special.get(number, 'answer')}:{number}") for number in range(count)]
    with held(pool):
        return [receipt.job_id for receipt in ledger.submit_many(jobs)]


def outcomes(ledger: Ledger, job_ids: list[str]) -> list[Outcome]:
    return [ledger.wait(job_id, WAIT_SECONDS) for job_id in job_ids]


def log_lines(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]


def test_one_that_fails_takes_no_neighbour_along(
    ledger: Ledger, start_pool: Callable[..., Any], until: Callable[..., None]
) -> None:
    pool = start_pool(concurrency=1, **COMPANY)
    special = {20: "raise_memory_error", 40: "nan", 60: "allocate"}
    found = outcomes(ledger, backlog(ledger, pool, 100, special))
    codes = {number: outcome.failure.code for number, outcome in enumerate(found) if outcome.failure is not None}
    memory = FailureCode.MEMORY_LIMIT_EXCEEDED
    assert codes == {20: memory, 40: FailureCode.INTERNAL, 60: memory}
    assert {outcome.attempt for outcome in found} == {1}
    assert len({outcome.settled_at for outcome in found}) < len(found), "none were settled together"
    until(lambda: pool.log.read_text().count('"event": "job"') == len(found))  # one line each, written after the settle


def test_outcomes_come_in_the_order_of_the_queue(ledger: Ledger, start_pool: Callable[..., Any]) -> None:
    pool = start_pool(concurrency=1, **COMPANY)
    job_ids = backlog(ledger, pool, 100, {})
    outcomes(ledger, job_ids)
    assert [outcome.job_id for _, outcome in ledger.follow("0", idle_seconds=0.1)] == job_ids


def test_a_long_job_holds_up_none_of_its_batch_and_can_be_cancelled_in_it(
    ledger: Ledger, start_pool: Callable[..., Any], until: Callable[..., None]
) -> None:
    pool = start_pool(concurrency=1, **COMPANY)
    long = 50
    job_ids = backlog(ledger, pool, 100, {long: "block"})
    before, after = job_ids[:long], job_ids[long + 1 :]
    assert {outcome.state for outcome in outcomes(ledger, before)} == {JobState.SUCCEEDED}
    assert ledger.status(job_ids[long]).state is JobState.RUNNING
    until(lambda: all(ledger.status(job_id).state is JobState.QUEUED for job_id in after))
    assert {ledger.status(job_id).attempt for job_id in after} == {0}
    ledger.cancel(job_ids[long])  # kills the child
    assert {(outcome.state, outcome.attempt) for outcome in outcomes(ledger, before + after)} == {
        (JobState.SUCCEEDED, 1)
    }
    assert ledger.wait(job_ids[long], WAIT_SECONDS).state is JobState.CANCELLED


def test_poison_in_a_batch_takes_three_workers_down_and_its_neighbours_come_alone_uncharged(
    ledger: Ledger, start_pool: Callable[..., Any], until: Callable[..., None]
) -> None:
    pool = start_pool(concurrency=1, **COMPANY)
    place = 50
    job_ids = backlog(ledger, pool, 100, {place: "kill_itself"})
    poison = job_ids.pop(place)
    lost = ledger.wait(poison, WAIT_SECONDS)
    assert lost.failure is not None
    assert (lost.failure.code, lost.attempt) == (FailureCode.WORKER_LOST, ledger.settings.max_attempts)
    assert {(outcome.state, outcome.attempt) for outcome in outcomes(ledger, job_ids)} == {(JobState.SUCCEEDED, 1)}
    until(lambda: '"outcome": "worker_lost"' in pool.log.read_text())
    endings = [line["outcome"] for line in log_lines(pool.log) if line.get("job_id") == poison]
    assert endings == ["requeued", "requeued", "worker_lost"]


def test_a_child_that_is_killed_in_mid_batch_charges_the_job_at_work_alone(
    ledger: Ledger, start_pool: Callable[..., Any], until: Callable[..., None]
) -> None:
    pool = start_pool(concurrency=1, **COMPANY)
    long = 50
    job_ids = backlog(ledger, pool, 100, {long: "block"})
    until(lambda: ledger.status(job_ids[long]).progress)
    (child,) = pool.children()
    child.kill()
    others = job_ids[:long] + job_ids[long + 1 :]
    until(lambda: (progress := ledger.status(job_ids[long]).progress) and progress.stage != str(child.pid))
    assert ledger.status(job_ids[long]).attempt == 2
    ledger.cancel(job_ids[long])
    assert {(outcome.state, outcome.attempt) for outcome in outcomes(ledger, others)} == {(JobState.SUCCEEDED, 1)}


def test_sigterm_in_mid_batch_settles_what_is_done_and_gives_back_the_rest(
    ledger: Ledger, start_pool: Callable[..., Any], until: Callable[..., None]
) -> None:
    pool = start_pool(concurrency=1, **COMPANY, CORNERMAN_SHUTDOWN_GRACE_SECONDS="0.3")
    long = 50
    job_ids = backlog(ledger, pool, 100, {long: "block"})
    until(lambda: ledger.status(job_ids[long]).progress)
    assert pool.stop() == 0
    states = [ledger.status(job_id).state for job_id in job_ids]
    assert states == [JobState.SUCCEEDED] * long + [JobState.QUEUED] * (len(job_ids) - long)
    assert {ledger.status(job_id).attempt for job_id in job_ids[long:]} == {0}
