from __future__ import annotations

import platform

import numpy as np
import pytest

from engine.errors import MemoryLimitError
from engine.resources.memory_guard import MemoryGuard, resident_bytes, trim_malloc
from tests.support.mapped_memory import mapped_memory

_MB = 2**20


def _guard(limit_mb: float, used_mb: float) -> MemoryGuard:
    return MemoryGuard(limit_mb, sensor=lambda: int(used_mb * _MB))


def test_the_sensor_sees_this_process() -> None:
    before = resident_bytes()
    ballast = mapped_memory(64)
    assert resident_bytes() - before > 32 * _MB
    ballast.close()


def test_a_check_returns_what_is_in_use() -> None:
    assert _guard(100, 40).check("loading") == 40.0


def test_a_check_above_the_limit_gives_the_figures() -> None:
    with pytest.raises(MemoryLimitError, match=r"loading: .*150\.5 MB in use.*100\.0") as caught:
        _guard(100, 150.5).check("loading")
    assert isinstance(caught.value, MemoryError)


@pytest.mark.parametrize(
    ("item_mb", "requested", "expected"),
    [(1, 25, 25), (1, 60, 60), (1, 61, 60), (7, 25, 8), (60, 25, 1), (0, 25, 25)],
)
def test_a_batch_is_cut_to_what_fits_beside_what_is_in_use(item_mb: int, requested: int, expected: int) -> None:
    assert _guard(100, 40).batch_size(item_mb * _MB, requested) == expected


@pytest.mark.parametrize(("used_mb", "would_fit"), [(40, "60.0 MB would fit"), (120, "0.0 MB would fit")])
def test_one_item_that_does_not_fit_is_an_error_that_says_what_would(used_mb: int, would_fit: str) -> None:
    with pytest.raises(MemoryLimitError, match=would_fit) as caught:
        _guard(100, used_mb).batch_size(61 * _MB, 25)
    assert f"max_memory_mb={used_mb + 61}" in str(caught.value)


def test_without_a_limit_every_batch_fits() -> None:
    assert MemoryGuard(float("inf")).batch_size(10**12, 25) == 25


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library keeps memory in other ways")
def test_what_is_free_between_what_is_in_use_is_given_back_too() -> None:
    pieces = [np.ones(500) for _ in range(20_000)]  # 80 MB in pieces too small for mappings of their own
    kept = pieces[::1000]
    held = resident_bytes()
    pieces.clear()
    trim_malloc()
    assert held - resident_bytes() > 50 * _MB
    assert all(piece.sum() == 500 for piece in kept)
