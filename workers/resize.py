"""How many children a pool has, where an operator says so: `min_children` and `max_children` of its queue.

What to do is a pure function; the hand is Celery's own `grow` and `shrink`, called in its event loop. Only idle
children go: a busy one finishes first, and is looked at again.
"""

from __future__ import annotations

from typing import Any

from ledger.controls import Controls


def target(controls: Controls, queue: str, started: int) -> int:
    """Return how many children a pool of this queue should have that was started with `started`."""
    least, most = controls.number(f"min_children.{queue}"), controls.number(f"max_children.{queue}")
    size = started if least is None else max(least, started)
    return size if most is None else min(size, most)


def change(wanted: int, children: int, idle: int, *, settled: bool) -> int:
    """Return by how many children to grow (shrink: negative) now.

    `settled` says that all who were told to go are gone: billiard would tell the same one again and count it twice.
    """
    if not settled:
        return 0
    return max(wanted - children, -idle)


def resize(worker: Any, controls: Controls, queue: str, started: int) -> None:
    """Bring Celery's pool nearer to its size. In the event loop only."""
    if worker.consumer is None or worker.consumer.task_consumer is None:  # the broker is away: it can wait
        return
    pool = worker.pool._pool
    idle = sum(1 for _ in pool._iterinactive())
    by = change(
        target(controls, queue, started),
        pool._processes,
        idle,
        settled=len(pool._pool) == pool._processes,
    )
    if by > 0:
        worker.pool.grow(by)
    elif by < 0:
        worker.pool.shrink(-by)
    if by:
        worker.pool.maintain_pool()
        worker.consumer._update_prefetch_count(by)  # how many doorbells may be in hand at once
