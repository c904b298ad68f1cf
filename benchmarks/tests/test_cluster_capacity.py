from __future__ import annotations

import pytest

from benchmarks.queue.capacity import Machine
from benchmarks.queue.cluster_capacity import CARDS_A_SECOND, NODES, ArchiveCosts, Load, needs

LOAD = Load(
    server_us=400.0,
    record_bytes=6_000.0,
    tombstone_bytes=100.0,
    received_bytes=5_000.0,
    sent_bytes=5_000.0,
    appended_bytes=7_000.0,
    poll_us=50.0,
    guard_us=50.0,
)


def test_each_node_bears_its_share() -> None:
    found = {need.name: need for need in needs(LOAD, ArchiveCosts(server_us=100.0, worker_us=1.0), Machine())}
    rate = CARDS_A_SECOND / NODES
    assert found["append-only file"].needed == pytest.approx(rate * 7_000 / 2**20)
    assert found["network out"].needed == pytest.approx(rate * 18_000 / 2**20)  # answers, the replica, the archive
    assert found["processor of the server"].needed == pytest.approx(rate * 500e-6 + 1_250 * 50e-6 + 62.5 * 4 * 50e-6)


def test_the_scarcest_comes_first() -> None:
    shares = [need.share for need in needs(LOAD, ArchiveCosts(server_us=100.0, worker_us=1.0), Machine())]
    assert shares == sorted(shares, reverse=True)
