"""Schedules under real monitoring pools that are killed, and a server whose clock is set."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from ledger.contracts.jobs import CheckHealth
from ledger.contracts.schedules import Schedule, ScheduleRun
from ledger.ledger import Ledger, LedgerSettings
from tests.chaos.server import Server
from tests.support.pools import PoolProcess, StartPool

BY = {"user": "ann", "reason": "a test"}
OFTEN = Schedule(name="often", cron="* * * * * *", jobs=(CheckHealth(),), catch_up="all", max_catch_up=1000)
NAMESPACE = "cornerman"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "server", NAMESPACE) as server:
        yield server


@pytest.fixture
def ledger_settings(server: Server) -> LedgerSettings:
    return LedgerSettings(redis_url=server.url("worker"), namespace=NAMESPACE)


@pytest.fixture
def operator(server: Server) -> Iterator[Ledger]:
    opened = Ledger.connect(LedgerSettings(redis_url=server.url("operator"), namespace=NAMESPACE))
    yield opened
    opened.close()


def submitted(ledger: Ledger) -> list[ScheduleRun]:
    """Return the submitted runs, oldest first."""
    return [run for run in reversed(ledger.schedules.history("often", 500)) if run.state == "submitted"]


def kill(pool: PoolProcess) -> None:
    os.killpg(pool.pid, signal.SIGKILL)
    pool.process.wait(30)


@pytest.mark.timeout(240)
def test_each_slot_is_submitted_once_by_pools_that_are_killed(
    start_pool: StartPool, operator: Ledger, server: Server, until: Callable[..., None]
) -> None:
    pools = [start_pool(queue="monitor", concurrency=1) for _ in range(3)]
    operator.schedules.put(OFTEN, **BY)

    def go_on(more: int) -> None:
        count = len(submitted(operator))
        until(lambda: len(submitted(operator)) >= count + more)

    go_on(3)
    kill(pools[0])
    go_on(2)
    kill(pools[1])
    go_on(2)
    with server.down():
        pass
    go_on(3)
    kill(pools[2])  # now no pool is alive
    missed = submitted(operator)[-1].slot
    until(lambda: datetime.fromtimestamp(operator.server.time(), UTC) > missed + timedelta(seconds=4))
    start_pool(queue="monitor", concurrency=1)
    start_pool(queue="monitor", concurrency=1)
    go_on(6)
    if server.clock.usable:
        with server.clock.set(60):  # a minute is missed, and begins again when the clock is set back
            go_on(60)
        count = len(submitted(operator))
        back = datetime.fromtimestamp(operator.server.time(), UTC)
        assert submitted(operator)[-1].slot > back
        # Each pool looks at least every second, see `short_pauses`.
        until(lambda: datetime.fromtimestamp(operator.server.time(), UTC) > back + timedelta(seconds=3))
        assert len(submitted(operator)) == count

    runs = submitted(operator)
    assert {newer.slot - older.slot for older, newer in pairwise(runs)} == {timedelta(seconds=1)}
    assert operator.queue_stats.backlog().queues["predict"].waiting == len(runs)
    assert server.refused() == set()
