from __future__ import annotations

import pytest

from ledger.jobs.backpressure import MAX_RETRY_SECONDS, MIN_RETRY_SECONDS, memory_full, queue_full, retry_after_seconds


@pytest.mark.parametrize(
    ("excess_jobs", "settled_jobs", "span_seconds", "expected_seconds"),
    [
        (100, 100, 10.0, 10.0),
        (1, 100, 10.0, MIN_RETRY_SECONDS),  # a tenth of a second would only be more load
        (100, 100, 1e6, MAX_RETRY_SECONDS),  # nobody has worked for long
        (1, 0, 0.0, MAX_RETRY_SECONDS),  # nobody ever has
        (5, 1, 0.0, MIN_RETRY_SECONDS),
    ],
)
def test_when_to_ask_again(excess_jobs: int, settled_jobs: int, span_seconds: float, expected_seconds: float) -> None:
    assert retry_after_seconds(excess_jobs, settled_jobs, span_seconds) == expected_seconds


def test_a_full_queue_says_when_and_why() -> None:
    failure = queue_full(waiting=95, new=10, most=100, settled_jobs=100, span_seconds=200.0)
    assert failure.retryable
    assert failure.details == {"retry_after_seconds": 10.0, "waiting": 95}
    assert "CORNERMAN_MAX_QUEUE_LENGTH" in failure.message
    assert "again in 10 s" in failure.message


def test_more_than_a_queue_ever_takes_is_not_worth_another_try() -> None:
    failure = queue_full(waiting=0, new=101, most=100, settled_jobs=100, span_seconds=1.0)
    assert not failure.retryable
    assert "fewer at once" in failure.message


def test_a_full_server_says_how_full() -> None:
    failure = memory_full(used_bytes=900, most_bytes=800)
    assert failure.details == {"retry_after_seconds": MAX_RETRY_SECONDS, "used_bytes": 900, "limit_bytes": 800}
    assert "CORNERMAN_MAX_MEMORY_FRACTION" in failure.message
