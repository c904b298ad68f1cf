from __future__ import annotations

import pytest

from benchmarks.queue.capacity import CARDS_A_SECOND, Costs, Machine, resources, retention_that_fits

COSTS = Costs(
    server_us=400.0,
    submit_us=400.0,
    work_us=400.0,
    read_us=400.0,
    record_bytes=40_000.0,
    small_bytes=900.0,
    tombstone_bytes=100.0,
    received_bytes=40_000.0,
    sent_bytes=40_000.0,
    appended_bytes=40_000.0,
    poll_us=50.0,
    guard_us=50.0,
)


def test_the_scarcest_comes_first_and_is_gone_at_its_rate() -> None:
    found = resources(COSTS, Machine(), 7 * 86_400.0, 30 * 86_400.0)
    rates = [resource.cards_a_second for resource in found]
    assert found[0].name == "memory"
    assert rates == sorted(rates)
    for resource in found:
        enough = resource.cards_a_second >= CARDS_A_SECOND
        assert (resource.taken <= resource.there_is) is enough


def test_what_does_not_grow_with_the_cards_is_taken_off_before() -> None:
    by_name = {resource.name: resource for resource in resources(COSTS, Machine(), 60.0, 60.0)}
    standing = 1_000 * 50e-6 + 50 * 4 * 50e-6
    processor = by_name["processor of the server"]
    assert processor.taken == pytest.approx(CARDS_A_SECOND * 400e-6 + standing)
    assert processor.cards_a_second == pytest.approx((1.0 - standing) / 400e-6)


def test_the_retention_that_fits_fills_the_memory() -> None:
    seconds = retention_that_fits(COSTS, Machine())
    (memory,) = (found for found in resources(COSTS, Machine(), seconds, seconds) if found.name == "memory")
    assert memory.taken == pytest.approx(memory.there_is)
