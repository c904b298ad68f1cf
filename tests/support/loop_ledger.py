"""A ledger whose calls for callers go through the asyncio ledger, on an event loop in a thread of its own.

With it the tests of the blocking ledger run against both.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from typing import Any, Self, TypeVar

from ledger.async_ledger import AsyncLedger
from ledger.contracts.job_state import JobStatus, Outcome, Progress, Receipt
from ledger.contracts.jobs import Job
from ledger.contracts.reports import Report
from ledger.jobs.outcome_reader import OutcomesMissedError
from ledger.ledger import Ledger, LedgerSettings

T = TypeVar("T")


class LoopLedger(Ledger):
    @classmethod
    def connect(cls, settings: LedgerSettings) -> Self:
        ledger = super().connect(settings)
        ledger._loop = asyncio.new_event_loop()
        ledger._thread = threading.Thread(target=ledger._loop.run_forever)
        ledger._thread.start()
        ledger.asynchronous = AsyncLedger(settings)
        ledger._await(ledger.asynchronous.connect())
        return ledger

    _loop: asyncio.AbstractEventLoop
    _thread: threading.Thread
    asynchronous: AsyncLedger

    def _await(self, call: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(call, self._loop).result()

    def close(self) -> None:
        self._await(self.asynchronous.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        super().close()

    def submit(self, job: Job | bytes, **options: Any) -> Receipt[Report]:
        return self._await(self.asynchronous.submit(job, **options))

    def submit_many(self, jobs: Sequence[Job | bytes], **options: Any) -> list[Receipt[Report]]:
        return self._await(self.asynchronous.submit_many(jobs, **options))

    def status(self, job_id: str) -> JobStatus:
        return self._await(self.asynchronous.status(job_id))

    def outcome(self, job_id: str) -> Outcome | None:
        return self._await(self.asynchronous.outcome(job_id))

    def wait(
        self, job_id: str, timeout_seconds: float, *, on_progress: Callable[[Progress], None] | None = None
    ) -> Outcome:
        return self._await(self.asynchronous.wait(job_id, timeout_seconds, on_progress=on_progress))

    def latest_place(self) -> str:
        return self._await(self.asynchronous.latest_place())

    def cancel(self, job_id: str) -> JobStatus:
        return self._await(self.asynchronous.cancel(job_id))

    def follow(
        self,
        after: str = "$",
        *,
        idle_seconds: float | None = None,
        on_missed: Callable[[OutcomesMissedError], None] | None = None,
    ) -> Iterator[tuple[str, Outcome]]:
        """Begin with the call, as the blocking one does; the asyncio one begins with its first item."""
        server, outcomes = self.asynchronous.server, self.asynchronous._outcomes
        start = self._await(server.run(outcomes.start_following(after)))
        return self._each(server.iterate(outcomes.follow(start, idle_seconds, on_missed)))

    def _each(self, items: AsyncIterator[tuple[str, Outcome]]) -> Iterator[tuple[str, Outcome]]:
        async def following() -> tuple[str, Outcome] | None:
            return await anext(items, None)

        while (item := self._await(following())) is not None:
            yield item
