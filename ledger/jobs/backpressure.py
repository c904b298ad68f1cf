"""When the ledger refuses new jobs, and when to retry. Pure functions; `submit.lua` reads the figures.

New jobs are refused while a queue is longer than `max_queue_length`, the server is fuller than `max_memory_fraction` of
its `maxmemory`, or its policy at that limit is to evict keys. Accepted jobs stay, and a known job is answered as usual.
"""

from __future__ import annotations

import msgspec

from ledger.contracts.failures import Failure, FailureCode

MIN_RETRY_SECONDS = 1.0
MAX_RETRY_SECONDS = 60.0


def retry_after_seconds(excess_jobs: int, settled_jobs: int, span_seconds: float) -> float:
    """Return how long the workers need for `excess_jobs` at the rate of the last `settled_jobs`, within bounds."""
    if settled_jobs == 0:
        return MAX_RETRY_SECONDS
    return min(MAX_RETRY_SECONDS, max(MIN_RETRY_SECONDS, excess_jobs * span_seconds / settled_jobs))


def queue_full(waiting: int, new: int, most: int, settled_jobs: int, span_seconds: float) -> Failure:
    """Return the refusal of `new` jobs by a queue in which `waiting` jobs wait and `most` may.

    The last `settled_jobs` outcomes of the ledger came within `span_seconds`.
    """
    if new > most:
        return _refusal(f"{new:,} jobs at once are more than a queue holds ({most:,}): submit fewer at once", None)
    after_seconds = retry_after_seconds(waiting + new - most, settled_jobs, span_seconds)
    return _refusal(
        f"{waiting:,} jobs wait already and {most:,} may (CORNERMAN_MAX_QUEUE_LENGTH)", after_seconds, waiting=waiting
    )


def memory_full(used_bytes: int, most_bytes: int) -> Failure:
    """Return the refusal by a server at the memory mark. Retention frees memory, at a rate that cannot be predicted."""
    return _refusal(
        f"the server uses {used_bytes:,} bytes and new jobs may fill it up to {most_bytes:,} "
        "(CORNERMAN_MAX_MEMORY_FRACTION of its maxmemory)",
        MAX_RETRY_SECONDS,
        used_bytes=used_bytes,
        limit_bytes=most_bytes,
    )


def out_of_memory() -> Failure:
    """Return the refusal by a server at its maxmemory."""
    return _refusal("the server is out of memory (its maxmemory is reached)", MAX_RETRY_SECONDS)


def eviction_enabled(policy: str) -> Failure:
    """Return the refusal by a server that may evict keys of the ledger."""
    return Failure(
        code=FailureCode.MEMORY_LIMIT_EXCEEDED,
        message=f"the server may evict jobs and outcomes (maxmemory-policy {policy}): nothing was accepted, "
        "set its maxmemory-policy to noeviction, or its maxmemory to 0",
        retryable=True,
        details={"maxmemory_policy": policy},
    )


def quota_used_up(today: int, new: int, most: int, left_seconds: float) -> Failure:
    """Return the refusal of `new` jobs of a caller who has submitted `today` of `most`; the day ends in `left_seconds`.

    A call of more jobs than the quota of a day cannot succeed later.
    """
    if new > most:
        return _refusal(f"{new:,} jobs at once are more than the caller's quota of a day ({most:,})", None)
    return _refusal(
        f"the caller has submitted {today:,} new jobs today (UTC) and its quota is {most:,} (cornerman tokens limit)",
        left_seconds,
        jobs_today=today,
        jobs_per_day=most,
    )


def partially_accepted(failure: Failure, accepted: int, jobs: int) -> Failure:
    """Return the refusal of a step of a long submission whose earlier steps were accepted."""
    message = failure.message.replace(": nothing was accepted", "")
    return msgspec.structs.replace(
        failure,
        message=f"{accepted:,} of {jobs:,} jobs were accepted before one was refused: {message}; submitting all of "
        "them again is safe",
        details={**failure.details, "accepted": accepted},
    )


def _refusal(reason: str, after_seconds: float | None, **figures: int) -> Failure:
    # The closed set of codes has none for a full ledger; all of these keep the server's memory within bounds.
    if after_seconds is None:
        return Failure(code=FailureCode.MEMORY_LIMIT_EXCEEDED, message=reason)
    return Failure(
        code=FailureCode.MEMORY_LIMIT_EXCEEDED,
        message=f"{reason}: nothing was accepted, submit again in {after_seconds:.0f} s",
        retryable=True,
        details={"retry_after_seconds": after_seconds, **figures},
    )
