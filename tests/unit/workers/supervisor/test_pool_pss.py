from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from unittest.mock import Mock, patch

import pytest

from tests.support.mapped_memory import mapped_memory
from workers.pool.process_memory import anon_rss_mb, pss_mb
from workers.supervisor import pool_pss
from workers.supervisor.pool_pss import READ_SECONDS, PoolPss

CONTEXT = multiprocessing.get_context("fork")


@pytest.fixture
def reader() -> Iterator[Mock]:
    with patch.object(pool_pss, "pss_mb", wraps=pss_mb) as reader:
        yield reader


def owned(*pids: int) -> dict[int, float]:
    return {pid: anon_rss_mb(pid) for pid in pids}


def test_between_readings_it_follows_what_a_process_fills_and_gives_back(reader: Mock) -> None:
    found, pid = PoolPss(), os.getpid()
    before_mb = found.update(owned(pid), 100.0)[pid]
    assert before_mb == pytest.approx(pss_mb(pid), abs=3.0)
    filled = mapped_memory(64)
    assert found.update(owned(pid), 101.0)[pid] - before_mb == pytest.approx(64.0, abs=3.0)
    filled.close()
    assert found.update(owned(pid), 101.5)[pid] == pytest.approx(before_mb, abs=3.0)
    reader.assert_called_once_with(pid)


def test_all_are_read_again_after_a_while_and_if_another_process_is_there_or_gone(reader: Mock) -> None:
    found, pid = PoolPss(), os.getpid()
    found.update(owned(pid), 0.0)
    here, there = CONTEXT.Pipe()
    twin = CONTEXT.Process(target=there.recv, daemon=True)
    twin.start()
    assert twin.pid is not None
    together = found.update(owned(pid, twin.pid), 0.1)
    assert set(together) == {pid, twin.pid}
    found.update(owned(pid, twin.pid), READ_SECONDS)
    assert reader.call_count == 3
    found.update(owned(pid, twin.pid), READ_SECONDS + 0.1)
    assert reader.call_count == 5
    here.send(None)
    twin.join(10)
    assert found.update(owned(pid, twin.pid), READ_SECONDS + 0.2)[twin.pid] == 0.0
    assert set(found.update(owned(pid), READ_SECONDS + 0.3)) == {pid}
    assert reader.call_count == 6
