"""Whether a pool hears the doorbell of its queue.

A pool that may not claim, because its queue is paused or it is drained, must not hear it either: it would take
doorbells from the pools that may. Its canary goes on, so a paused pool still proves that it would consume. That
nothing is claimed does not rest on this: the ledger refuses the claim.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ledger.contracts.controls import Controls


def heed(worker: Any, controls: Controls, queues: Iterable[str], node: str) -> None:
    """Start or stop consuming each queue as the controls say. In Celery's event loop only."""
    consumer = worker.consumer
    if consumer is None or consumer.task_consumer is None:  # the broker is away: there is nothing to hear
        return
    for queue in queues:
        may = controls.claims(queue, node)
        if may and not consumer.task_consumer.consuming_from(queue):
            consumer.add_task_queue(queue)
        elif not may and consumer.task_consumer.consuming_from(queue):
            consumer.cancel_task_queue(queue)
