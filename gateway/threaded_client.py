"""A client for asyncio that runs each call of the blocking client in a thread."""

from __future__ import annotations

import asyncio
from typing import Any

from ledger.contracts.job_state import JobStatus, Outcome, Receipt
from ledger.contracts.jobs import Job
from ledger.ledger import Ledger, LedgerSettings
from producer.client import Client


class AsyncClient:
    """A client for asyncio."""

    def __init__(self, settings: LedgerSettings) -> None:
        self._client = Client(Ledger.connect(settings))

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._client.close()

    async def enqueue(
        self, job: Job, *, key: str | None = None, correlation_id: str | None = None, durable: bool = False
    ) -> Receipt[Any]:
        """Submit a job."""
        return await asyncio.to_thread(
            self._client.enqueue, job, key=key, correlation_id=correlation_id, durable=durable
        )

    async def status(self, job_id: str) -> JobStatus:
        """Return the state of a job."""
        return await asyncio.to_thread(self._client.status, job_id)

    async def outcome(self, job_id: str) -> Outcome | None:
        """Return the outcome of a job."""
        return await asyncio.to_thread(self._client.outcome, job_id)

    async def wait(self, job_id: str, timeout_seconds: float) -> Outcome:
        """Wait for the outcome of a job."""
        return await asyncio.to_thread(self._client.wait, job_id, timeout_seconds)

    async def cancel(self, job_id: str) -> JobStatus:
        """Cancel a job."""
        return await asyncio.to_thread(self._client.cancel, job_id)
