from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.child.batch_size import BATCH_SECONDS, BatchTiming, next_batch_size


@pytest.mark.parametrize(
    ("last", "size"),
    [
        (None, 1),  # nothing is known yet
        (BatchTiming(jobs=1, seconds=0.0001, waiting=1000), 4),
        (BatchTiming(jobs=8, seconds=0.0001, waiting=1000), 32),  # four times as many as last time
        (BatchTiming(jobs=64, seconds=0.0001, waiting=1000), 64),  # and never more than allowed
        (BatchTiming(jobs=32, seconds=BATCH_SECONDS, waiting=1000), 32),  # as many as a batch has time for
        (BatchTiming(jobs=32, seconds=4 * BATCH_SECONDS, waiting=1000), 8),
        (BatchTiming(jobs=1, seconds=0.8 * BATCH_SECONDS, waiting=1000), 1),
        (BatchTiming(jobs=1, seconds=60.0, waiting=1000), 1),  # long jobs come alone
        (BatchTiming(jobs=8, seconds=0.0001, waiting=10), 5),  # the others get their half
        (BatchTiming(jobs=8, seconds=0.0001, waiting=1), 1),
        (BatchTiming(jobs=8, seconds=0.0001, waiting=0), 1),
        (BatchTiming(jobs=8, seconds=0.0, waiting=1000), 32),  # a clock that stood still
    ],
)
def test_how_many_jobs_are_claimed(last: BatchTiming | None, size: int) -> None:
    assert next_batch_size(last, max_size=64) == size


@given(
    jobs=st.integers(0, 1000),
    seconds=st.floats(0, 1e6),
    waiting=st.integers(0, 10**9),
    max_size=st.integers(1, 1000),
)
def test_a_claim_is_never_empty_and_never_above_the_limit(
    jobs: int, seconds: float, waiting: int, max_size: int
) -> None:
    assert 1 <= next_batch_size(BatchTiming(jobs, seconds, waiting), max_size) <= max_size
