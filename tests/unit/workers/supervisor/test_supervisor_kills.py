"""Which children the supervisor kills, with real children: forked processes that write to a real scoreboard."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection

import pytest

from workers.observability.pool_monitor import PoolMonitor
from workers.pool.pool import WorkerPool
from workers.pool.processes import is_alive
from workers.pool.scoreboard import ChildSlot
from workers.settings import WorkerSettings
from workers.supervisor.supervisor import Supervisor

Until = Callable[..., None]


def work(pool: WorkerPool, told: Connection) -> None:
    """Be at what the test says: a claim by its job's name, or done with its handler."""
    pool.scoreboard.register_child()
    while True:
        word = told.recv()
        pool.scoreboard.mark_handler_ended() if word == "handled" else pool.scoreboard.start_job(word, 1, 60.0)


class Worker:
    """A child of this process, told what to be at."""

    def __init__(self, pool: WorkerPool) -> None:
        ours, theirs = get_context("fork").Pipe()
        self._pool, self._pipe = pool, ours
        self._process = get_context("fork").Process(target=work, args=(pool, theirs), daemon=True)
        self._process.start()
        self.pid = self._process.pid or 0

    def goes_on(self, word: str, until: Until) -> ChildSlot:
        before = self._pool.scoreboard.slots()
        self._pipe.send(word)
        until(lambda: self._pool.scoreboard.slots() not in (before, []))
        (slot,) = self._pool.scoreboard.slots()
        return slot

    def end(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self._process.join()


@pytest.fixture
def pool() -> WorkerPool:
    return WorkerPool(WorkerSettings(http_host="off"), {})


@pytest.fixture
def supervisor(pool: WorkerPool) -> Supervisor:
    return Supervisor(pool, ["predict"], PoolMonitor(pool, ["predict"]))


@pytest.fixture
def worker(pool: WorkerPool, until: Until) -> Iterator[Worker]:
    started = Worker(pool)
    until(lambda: pool.scoreboard.slots())
    yield started
    started.end()


@pytest.mark.parametrize("word", ["the next job", "handled"])
def test_a_child_that_has_gone_on_is_not_killed_for_what_it_was_at(
    supervisor: Supervisor, worker: Worker, until: Until, word: str
) -> None:
    seen = worker.goes_on("job", until)
    worker.goes_on(word, until)
    assert not supervisor._kill_if_unchanged(seen, "time limit")
    assert is_alive(worker.pid)


def test_a_child_that_is_still_at_it_is_killed(supervisor: Supervisor, worker: Worker, until: Until) -> None:
    seen = worker.goes_on("job", until)
    assert supervisor._kill_if_unchanged(seen, "time limit")
    until(lambda: not is_alive(worker.pid))
    (child,) = supervisor._children(0.0)
    assert (child.alive, child.killed_for, child.died_running(seen.token)) == (False, seen.token, True)


def test_what_a_child_begins_while_it_is_killed_for_another_job_is_not_lost(
    supervisor: Supervisor, worker: Worker, until: Until
) -> None:
    seen = worker.goes_on("job", until)
    now = worker.goes_on("the next job", until)
    supervisor._kill(worker.pid, "time limit", seen.token)
    until(lambda: not is_alive(worker.pid))
    (child,) = supervisor._children(0.0)
    assert not child.died_running(now.token)
