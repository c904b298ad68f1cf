"""The events of one job: its progress, then its outcome."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from gateway.events.event_stream import HEARTBEAT, HEARTBEAT_SECONDS, encode_event
from ledger.contracts.job_state import Progress
from producer.async_client import AsyncClient

SETTLED = "settled"
"""Id of the last event. A browser that connects again with it gets 204, and stops."""


async def job_events(client: AsyncClient, job_id: str, progress: Progress | None) -> AsyncGenerator[bytes, None]:
    """Yield the events `progress` of a job as they come, the first with what is known, and at last its `outcome`.

    Raises
    ------
    UnknownJobError
        The ledger no longer holds the job.
    """
    latest = [] if progress is None else [progress]
    arrived = asyncio.Event()

    def note(news: Progress) -> None:
        latest[:] = [news]  # only the last one matters
        arrived.set()

    waiting = asyncio.create_task(client.wait(job_id, on_progress=note))
    try:
        while latest or not waiting.done():
            news = asyncio.create_task(arrived.wait())
            done, _ = await asyncio.wait(
                {waiting, news}, timeout=HEARTBEAT_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            news.cancel()
            if latest:
                yield encode_event("progress", latest.pop())
                arrived.clear()
            elif not done:
                yield HEARTBEAT
        yield encode_event("outcome", await waiting, SETTLED)
    finally:
        waiting.cancel()
