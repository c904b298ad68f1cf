"""Consumption of the queues' doorbells, as the operator's controls allow it.

A pool that may not claim, because its queue is paused or the pool is drained, must not consume the doorbells either: it
would take them from pools that may claim. Its liveness probes continue, so a paused pool still shows that it could
consume. The guarantee that nothing is claimed does not depend on this: the ledger refuses the claim.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ledger.contracts.controls import Controls


def sync_consumers(worker: Any, controls: Controls, queues: Iterable[str], node: str) -> None:
    """Start or stop consuming each queue as the controls require. In Celery's event loop only."""
    consumer = worker.consumer
    if consumer is None or consumer.task_consumer is None:  # the broker is away: there is nothing to consume
        return
    for queue in queues:
        may = controls.may_claim(queue, node)
        if may and not consumer.task_consumer.consuming_from(queue):
            consumer.add_task_queue(queue)
        elif not may and consumer.task_consumer.consuming_from(queue):
            consumer.cancel_task_queue(queue)
