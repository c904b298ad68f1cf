"""Queues that a running pool serves."""

from __future__ import annotations

from producer.client import Client


def served_queues(client: Client) -> set[str]:
    """Return the queues that are served by a live pool."""
    return {queue for pool in client.ledger.pools.alive() for queue in pool.get("queues", ())}
