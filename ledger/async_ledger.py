"""The ledger for callers on an asyncio event loop: submit, read, wait, follow and cancel."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import Self, Unpack

from ledger.contracts.job_state import Durability, JobStatus, Outcome, OutcomeDocument, Progress, Receipt
from ledger.contracts.reports import Report
from ledger.jobs.conditions import SubmitConditions
from ledger.jobs.job_entries import JobInput
from ledger.jobs.outcome_reader import OutcomeExchanges, OutcomePage, OutcomesMissedError
from ledger.jobs.outcome_records import decode_document, decode_outcome
from ledger.jobs.submission import SubmissionExchanges
from ledger.operations.sessions import AsyncSessions
from ledger.operations.tokens import AsyncTokens
from ledger.server.async_server import AsyncServer
from ledger.settings import LedgerSettings


class AsyncLedger:
    """What callers need of a `Ledger`, for one event loop.

    The methods do as those of the same names of `Ledger`, with the same errors and time limits: both run the same
    rules. Operators and workers use `Ledger`.

    It connects when it is first used; `connect`, or `async with`, checks that the server answers.

    Parameters
    ----------
    settings
        Settings of the ledger. Raises LedgerUnavailableError if they name no server.

    Attributes
    ----------
    server
        The server: exchanges, connections, address.
    tokens, sessions
        Tokens, as a gateway asks for them, and sessions at its pages.
    """

    def __init__(self, settings: LedgerSettings) -> None:
        self.server = AsyncServer(settings)
        self.tokens = AsyncTokens(self.server)
        self.sessions = AsyncSessions(self.server)
        self._submission = SubmissionExchanges(self.server)
        self._outcomes = OutcomeExchanges(self.server)

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def connect(self) -> None:
        """Check that the server answers.

        Warns with EvictionWarning if the server may evict keys of the ledger.

        Raises
        ------
        LedgerUnavailableError
            The server does not answer or refuses the user.
        """
        await self.server.connect()

    async def close(self) -> None:
        """Close all connections; calls that still run fail."""
        await self.server.close()

    @property
    def settings(self) -> LedgerSettings:
        """Settings of the ledger."""
        return self.server.settings

    @property
    def address(self) -> str:
        """Address of the server, without user or password."""
        return self.server.address

    async def submit(
        self,
        job: JobInput,
        *,
        key: str | None = None,
        correlation_id: str | None = None,
        durable: Durability = False,
        caller: str | None = None,
        **conditions: Unpack[SubmitConditions],
    ) -> Receipt[Report]:
        """Accept a job, once, as `Ledger.submit` does."""
        return await self.server.run(
            self._submission.submit(
                job, key=key, correlation_id=correlation_id, durable=durable, caller=caller, **conditions
            )
        )

    async def submit_many(
        self,
        jobs: Sequence[JobInput],
        *,
        keys: Sequence[str | None] | None = None,
        correlation_id: str | None = None,
        durable: Durability = False,
        caller: str | None = None,
        **conditions: Unpack[SubmitConditions],
    ) -> list[Receipt[Report]]:
        """Accept jobs and return their receipts in the same order, as `Ledger.submit_many` does."""
        return await self.server.run(
            self._submission.submit_many(
                jobs, keys=keys, correlation_id=correlation_id, durable=durable, caller=caller, **conditions
            )
        )

    async def status(self, job_id: str) -> JobStatus:
        """Return the current state of a job; `unknown` and `forgotten` are states of their own."""
        return await self.server.run(self._outcomes.status(job_id))

    async def outcome(self, job_id: str) -> Outcome | None:
        """Return the outcome of a job, or None if there is none, as `Ledger.outcome` does."""
        return await self.server.run(self._outcomes.outcome(job_id))

    async def outcome_document(self, job_id: str) -> OutcomeDocument | None:
        """Return the outcome of a job with its parts as stored, for a reader that only passes the JSON on.

        A report of 12 fights takes ten times as long to decode and to encode again. Unlike `outcome`, it does not fail
        if a newer version wrote it.
        """
        return await self.server.run(self._outcomes.outcome_document(job_id))

    async def wait(
        self, job_id: str, timeout_seconds: float, *, on_progress: Callable[[Progress], None] | None = None
    ) -> Outcome:
        """Wait for a job's outcome and return it, as `Ledger.wait` does. A cancelled wait leaves nothing behind."""
        wait = self._outcomes.wait(job_id, timeout_seconds, on_progress, decode_outcome, read_first=True)
        return await self.server.run_subscribed(wait)

    async def wait_document(self, job_id: str, timeout_seconds: float) -> OutcomeDocument:
        """Wait for a job's outcome as `wait` does, and return it as `outcome_document` does."""
        wait = self._outcomes.wait(job_id, timeout_seconds, None, decode_document, read_first=True)
        return await self.server.run_subscribed(wait)

    async def follow(
        self,
        after: str = "$",
        *,
        idle_seconds: float | None = None,
        on_missed: Callable[[OutcomesMissedError], None] | None = None,
    ) -> AsyncIterator[tuple[str, Outcome]]:
        """Yield outcomes in the order of settling, each with its place in the stream, as `Ledger.follow` does.

        "$" begins with what is settled after the first item was asked for.
        """
        start = await self.server.run(self._outcomes.start_following(after))
        async for item in self.server.iterate(self._outcomes.follow(start, idle_seconds, on_missed)):
            yield item

    async def outcomes_page(self, after: str, limit: int, *, block_seconds: float = 0.0) -> OutcomePage:
        """Return outcomes after a place, in the order of settling, as `Ledger.outcomes_page` does."""
        return await self.server.run(self._outcomes.page(after, limit, block_seconds))

    async def latest_place(self) -> str:
        """Return the place of the latest outcome in the stream, "0" if it is empty."""
        return await self.server.run(self._outcomes.latest_place())

    async def cancel(self, job_id: str) -> JobStatus:
        """End a job that has no outcome yet, and return its state."""
        return await self.server.run(self._outcomes.cancel(job_id))
