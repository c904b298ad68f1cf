from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from multiprocessing.connection import Connection

import pytest

from ledger.contracts.controls import Controls
from ledger.jobs.queue_stats import QueueBacklog
from tests.support.mapped_memory import mapped_memory
from workers.pool.pool import WorkerPool
from workers.pool.process_memory import anon_rss_mb, pss_mb
from workers.settings import WorkerSettings
from workers.supervisor.memory_budget import MIN_JOB_MB, MemoryBudget
from workers.supervisor.memory_monitor import MemoryMonitor
from workers.supervisor.rules import ChildSnapshot
from workers.supervisor.scaling_policy import GROWTH_MARGIN

CONTEXT = multiprocessing.get_context("fork")
NOTHING, SOME = QueueBacklog(0, 0.0, 0), QueueBacklog(7, 3.0, 0)
KEPT_MB = 50


def idle_child(pool: WorkerPool, line: Connection) -> None:
    """Be ready, and keep memory of a job that is over."""
    pool.scoreboard.register_child()
    pool.scoreboard.mark_ready(anon_rss_mb())
    kept = mapped_memory(KEPT_MB)
    line.send(len(kept))
    line.recv()


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    """A pool of two children at most, one of which is there, is idle and keeps memory. This is its main process."""
    made = WorkerPool(WorkerSettings(concurrency=2, spare_memory_mb=0), {})
    made.scoreboard.set_target_size(1, 0)
    here, there = CONTEXT.Pipe()
    process = CONTEXT.Process(target=idle_child, args=(made, there), daemon=True)
    process.start()
    here.recv()
    yield made
    process.kill()
    process.join(10)


def children(pool: WorkerPool) -> list[ChildSnapshot]:
    return [ChildSnapshot(slot) for slot in pool.scoreboard.slots()]


def limited(pool: WorkerPool, megabytes: float) -> None:
    pool.controls = Controls({"max_memory_mb.predict": int(megabytes)})


def test_free_memory_is_what_the_limit_leaves_and_a_job_takes_the_minimum(pool: WorkerPool) -> None:
    budget = MemoryBudget(pool, ["predict"], MemoryMonitor(pool))
    limited(pool, 10_000)
    budget.update(children(pool), NOTHING, 0.0)
    seen = pool.memory
    assert seen.limit_mb == 10_000.0
    assert seen.limited_by == "max_memory_mb.predict"
    assert seen.used_mb > KEPT_MB
    assert seen.room_mb == pytest.approx(seen.limit_mb - seen.used_mb, abs=0.2)
    assert (seen.job_mb, seen.wanted) == (MIN_JOB_MB, 2)
    assert pool.scoreboard.can_start_job
    assert pool.scoreboard.max_child_mb < 10_000.0


def test_the_operators_budget_goes_before_the_settings_and_the_machine_bounds_both(pool: WorkerPool) -> None:
    pool.settings = WorkerSettings(concurrency=2, pool_max_memory_mb=500, spare_memory_mb=0)
    budget = MemoryBudget(pool, ["predict"], MemoryMonitor(pool))
    budget.update(children(pool), NOTHING, 0.0)
    assert (pool.memory.limited_by, pool.memory.limit_mb) == ("CORNERMAN_POOL_MAX_MEMORY_MB", 500.0)
    limited(pool, 700)
    budget.update(children(pool), NOTHING, 1.0)
    assert (pool.memory.limited_by, pool.memory.limit_mb) == ("max_memory_mb.predict", 700.0)
    limited(pool, 16_000_000)
    budget.update(children(pool), NOTHING, 2.0)
    assert pool.memory.limited_by != "max_memory_mb.predict"
    assert pool.memory.limit_mb < 16_000_000
    # What others use of the machine makes a job wait, and does not end it.
    assert pool.scoreboard.max_child_mb > pool.memory.room_mb


def test_a_pool_starts_with_as_many_children_as_its_memory_and_settings_allow() -> None:
    pool = WorkerPool(WorkerSettings(concurrency=4, spare_memory_mb=0), {})
    budget = MemoryBudget(pool, ["predict"], MemoryMonitor(pool))
    limited(pool, 10_000)
    assert budget.initial_children() == 4
    child_mb = 2 * MIN_JOB_MB  # an idle child and a job
    limited(pool, (pss_mb(os.getpid()) + 2.5 * child_mb) / (1 - GROWTH_MARGIN))
    assert budget.initial_children() == 2
    limited(pool, 1)
    assert budget.initial_children() == 1
    fewer = WorkerPool(WorkerSettings(concurrency=4, min_children=3, spare_memory_mb=0), {})
    limited(fewer, 10_000)
    assert MemoryBudget(fewer, ["predict"], MemoryMonitor(fewer)).initial_children() == 3


def test_a_reservation_counts_until_it_is_used(pool: WorkerPool) -> None:
    budget = MemoryBudget(pool, ["predict"], MemoryMonitor(pool))
    limited(pool, 10_000)
    budget.update(children(pool), NOTHING, 0.0)
    before_mb = pool.memory.room_mb
    (slot,) = pool.scoreboard.slots()
    pool.scoreboard._offset = next(iter(pool.scoreboard._offsets()))  # speak for the child
    pool.scoreboard.start_job("job", 1, 60.0)
    pool.scoreboard._write("reserved_mb", KEPT_MB + 40.0)
    pool.scoreboard._write("reserved_from_mb", slot.baseline_mb)
    budget.update(children(pool), NOTHING, 1.0)
    assert before_mb - pool.memory.room_mb == pytest.approx(40.0, abs=3.0)


@pytest.mark.slow
def test_a_limit_that_no_job_fits_into_is_said_now_and_then(pool: WorkerPool) -> None:
    budget = MemoryBudget(pool, ["predict"], MemoryMonitor(pool))
    limited(pool, 64)
    said = []
    for second in range(70):
        budget.update(children(pool), SOME, float(second))
        if budget.is_starved(children(pool), SOME, float(second)):
            said.append(second)
    assert said == [5, 35, 65]
    assert pool.scoreboard.should_stop_claiming
    assert not budget.is_starved(children(pool), NOTHING, 100.0)


def test_an_idle_child_that_keeps_the_memory_of_a_job_is_to_be_replaced(pool: WorkerPool) -> None:
    budget = MemoryBudget(pool, ["predict"], MemoryMonitor(pool))
    limited(pool, 10_000)
    budget.update(children(pool), NOTHING, 0.0)
    assert budget.oversized_children(children(pool)) == []
    limited(pool, pool.memory.used_mb + MIN_JOB_MB / 2)
    budget.update(children(pool), NOTHING, 1.0)
    (slot,) = pool.scoreboard.slots()
    assert budget.oversized_children(children(pool)) == [slot.pid]
