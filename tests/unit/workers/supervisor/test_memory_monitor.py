from __future__ import annotations

import mmap
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

import psutil
import pytest

from tests.support.mapped_memory import MIB, mapped_memory
from workers.pool.pool import WorkerPool
from workers.pool.process_memory import anon_rss_mb, pss_mb
from workers.pool.scoreboard import claim_token
from workers.settings import WorkerSettings
from workers.supervisor.memory_monitor import MemoryMonitor

CONTEXT = multiprocessing.get_context("fork")

Start = Callable[..., tuple[BaseProcess, Connection]]


def child(pool: WorkerPool, ceiling_mb: float, left_mb: int, line: Connection) -> None:
    """Keep what an earlier job has left, fill 40 MB, half of it shared memory, and wait to be told to end its job."""
    pool.scoreboard.register_child()
    baseline_mb = anon_rss_mb()
    pool.scoreboard.mark_ready(baseline_mb)
    left = mapped_memory(left_mb, mmap.MAP_PRIVATE)
    with pool.scoreboard.accounting() as write:
        write(1000.0, 32.0, 1000.0)
    pool.scoreboard.reserve(anon_rss_mb())
    pool.scoreboard.start_job(
        "job", 1, 60.0, job_start_mb=anon_rss_mb(), ceiling_mb=ceiling_mb and baseline_mb + ceiling_mb
    )
    taken = mapped_memory(20, mmap.MAP_PRIVATE), mapped_memory(20, mmap.MAP_SHARED)
    line.send("filled")
    line.recv()
    pool.scoreboard.end_job()
    line.send("ended")
    line.recv()
    del left, taken


@pytest.fixture
def pool() -> WorkerPool:
    return WorkerPool(WorkerSettings(), {})


@pytest.fixture
def start(pool: WorkerPool) -> Iterator[Start]:
    started: list[BaseProcess] = []

    def begin(ceiling_mb: float, left_mb: int = 0) -> tuple[BaseProcess, Connection]:
        here, there = CONTEXT.Pipe()
        process = CONTEXT.Process(target=child, args=(pool, ceiling_mb, left_mb, there), daemon=True)
        process.start()
        started.append(process)
        assert here.recv() == "filled"
        return process, here

    yield begin
    for process in started:
        process.kill()
        process.join(10)


@pytest.mark.parametrize(("ceiling_mb", "left_mb", "blamed"), [(20.0, 0, True), (60.0, 40, False)])
def test_a_child_above_its_ceiling_is_stopped_and_its_job_blamed_for_what_it_took_itself(
    ceiling_mb: float, left_mb: int, blamed: bool, pool: WorkerPool, start: Start
) -> None:
    process, _ = start(ceiling_mb, left_mb)
    monitor = MemoryMonitor(pool)
    monitor.tick()
    process.join(10)
    assert process.exitcode == -signal.SIGKILL
    excess = monitor.excesses[claim_token("job", 1)]
    assert excess.used_mb == pytest.approx(excess.ceiling_mb + 20.0, abs=3.0)
    assert excess.blamed is blamed


@pytest.mark.parametrize("ceiling_mb", [60.0, 0.0])
def test_a_child_below_its_ceiling_is_left_alone_and_what_its_job_took_is_remembered(
    ceiling_mb: float, pool: WorkerPool, start: Start
) -> None:
    process, line = start(ceiling_mb)
    monitor = MemoryMonitor(pool)
    monitor.tick()
    assert process.is_alive()
    assert monitor.excesses == {}
    assert monitor.max_growth_mb() == pytest.approx(40.0, abs=3.0)
    line.send("end")
    assert line.recv() == "ended"
    monitor.tick()
    assert monitor.max_growth_mb() == pytest.approx(40.0, abs=3.0)


def test_own_memory_counts_shared_mappings_and_the_shares_of_a_family_add_up() -> None:
    before_mb = anon_rss_mb()
    ballast, shared = mapped_memory(64, mmap.MAP_PRIVATE), mapped_memory(16, mmap.MAP_SHARED)
    assert anon_rss_mb() - before_mb == pytest.approx(80.0, abs=3.0)
    alone_mb = pss_mb(os.getpid())
    here, there = CONTEXT.Pipe()
    twin = CONTEXT.Process(
        target=there.recv, daemon=True
    )  # has all of it from its parent, and takes nothing of its own
    twin.start()
    together_mb = pss_mb(os.getpid()) + pss_mb(twin.pid or 0)
    here.send(None)
    twin.join(10)
    assert together_mb == pytest.approx(alone_mb, abs=16.0)
    assert psutil.Process().memory_info().rss / MIB > 80
    del ballast, shared


def test_a_process_that_is_gone_has_nothing() -> None:
    gone = CONTEXT.Process(target=int)
    gone.start()
    gone.join(10)
    assert gone.pid is not None
    assert (anon_rss_mb(gone.pid), pss_mb(gone.pid)) == (0.0, 0.0)
