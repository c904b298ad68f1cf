"""The queue of this repository. Its workers are a pool whose handlers return at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from common import QUEUE_URL

from ledger.contracts.jobs import CheckHealth
from ledger.ledger import Ledger, LedgerSettings
from producer.client import Client

client = Client(Ledger.connect(LedgerSettings(redis_url=QUEUE_URL)))


def enqueue_one(nonce: str) -> None:
    """Enqueue one job."""
    client.enqueue(CheckHealth(nonce=nonce))


def enqueue_many(nonces: Sequence[str]) -> None:
    """Enqueue jobs with one call: all or none are accepted."""
    client.enqueue_many([CheckHealth(nonce=nonce) for nonce in nonces])


def ask(nonce: str) -> Any:
    """Enqueue one job and wait for its report."""
    return client.result(client.enqueue(CheckHealth(nonce=nonce)).job_id, 60)


def answered(server: Any) -> int:
    """Return the number of outcomes."""
    return int(server.hget("cornerman:counts", "outcomes") or 0)
