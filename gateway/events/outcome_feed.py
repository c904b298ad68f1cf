"""The outcomes of a ledger for many followers: read once, kept for a while, sent to each from its own place on.

One task reads the stream of outcomes. It keeps the latest ones, encoded, in memory; a follower is an index into them,
so that a follower costs no queue, and those at the same index share one chunk of bytes. A follower that is behind what
is kept reads pages of the ledger until it has caught up.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from itertools import islice

import structlog
from msgspec import Struct

from gateway.events.event_stream import HEARTBEAT, HEARTBEAT_SECONDS, encode_event
from ledger.contracts.failures import LedgerError
from ledger.contracts.job_state import Outcome
from ledger.contracts.reports import CardReport
from ledger.jobs.outcome_reader import OutcomePage, OutcomesMissedError
from producer.async_client import AsyncClient

PAGE = 100
"""Outcomes that are read at once."""
_BLOCK_SECONDS = 2.0
_GATHER_SECONDS = 0.02  # so that a burst reaches 2,000 followers in few pieces
_RETRY_SECONDS = 1.0


class OutcomeFilter(Struct, frozen=True, kw_only=True):
    """Which outcomes a follower wants; None for any."""

    kind: str | None = None
    card: str | None = None
    state: str | None = None

    def accepts(self, entry: FeedEntry) -> bool:
        """Return True if the follower wants an outcome."""
        pairs = ((self.kind, entry.kind), (self.card, entry.card), (self.state, entry.state))
        return all(wanted is None or wanted == found for wanted, found in pairs)


EVERYTHING = OutcomeFilter()


class OutcomesMissed(Struct, frozen=True, kw_only=True):
    """Outcomes that came after the place `after` were dropped before they could be sent; the stream goes on.

    `count` is how many, null if that is not known; `place` is where the stream goes on.
    """

    count: int | None
    after: str
    place: str


class FeedEntry(Struct, frozen=True):
    """One outcome: its place in the stream, its encoded event, and what filters compare."""

    place: tuple[int, int]
    event: bytes
    kind: str
    card: str | None
    state: str


class OutcomeFeed:
    """The outcomes of a ledger, for the event streams of one gateway.

    Parameters
    ----------
    client
        Client of the ledger, on the same event loop.
    max_bytes
        How many bytes of encoded events are kept.
    """

    def __init__(self, client: AsyncClient, max_bytes: int) -> None:
        self._client = client
        self._max_bytes = max_bytes
        self._entries: deque[FeedEntry] = deque()
        self._bytes = 0
        self._dropped = 0  # entries that are no longer kept; the index of the first one that is
        self._before = (0, 0)  # the place before the first kept entry
        self._waiting: set[asyncio.Future[bool]] = set()
        self._chunk: tuple[int, int, bytes] = (0, 0, b"")
        self._task: asyncio.Task[None] | None = None
        self.closed = False
        self.followers = 0

    async def start(self) -> None:
        """Begin to read, from the latest outcome on. Raises LedgerUnavailableError."""
        latest = await self._client.ledger.latest_place()
        self._before = read_place(latest)
        self._task = asyncio.create_task(self._read(latest))

    async def stop(self) -> None:
        """End the reading and all followers."""
        self.close()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def close(self) -> None:
        """End all followers; they connect again, with their place, to whatever serves them then."""
        self.closed = True
        self._announce()

    async def follow(self, after: str, wanted: OutcomeFilter = EVERYTHING) -> AsyncGenerator[bytes, None]:
        """Yield chunks of events after a place of the stream, and heartbeats.

        Raises ValueError if `after` is no place.
        """
        self.followers += 1
        try:
            index: int | None = None
            place = read_place(after)
            while not self.closed:
                if index is None or index < self._dropped:  # behind what is kept
                    index = self._index_after(place)
                    if index is None:
                        page = await self._client.ledger.outcomes_page(write_place(place), PAGE)
                        place = read_place(page.place)
                        if chunk := b"".join(entry.event for entry in entries_of(page) if _sent(entry, wanted)):
                            yield chunk
                        if not page.outcomes and page.missed is None:
                            await asyncio.sleep(_GATHER_SECONDS)  # this gateway reads it in a moment
                    continue
                end = self._dropped + len(self._entries)
                if index < end and self._entries[index - self._dropped].place <= place:
                    index = self._index_after(place)  # this gateway read what the follower has seen elsewhere
                elif index < end:
                    chunk = self._chunk_of(index, end, wanted)
                    index, place = end, self._latest
                    if chunk:
                        yield chunk
                elif not await self._wait_for_news():
                    yield HEARTBEAT
        finally:
            self.followers -= 1

    @property
    def _latest(self) -> tuple[int, int]:
        return self._entries[-1].place if self._entries else self._before

    def _index_after(self, place: tuple[int, int]) -> int | None:
        """Return the index of the first kept outcome after a place; None if others may lie between."""
        if place < self._before:
            return None
        later = 0
        for entry in reversed(self._entries):
            if entry.place <= place:
                break
            later += 1
        return self._dropped + len(self._entries) - later

    def _chunk_of(self, start: int, end: int, wanted: OutcomeFilter) -> bytes:
        if wanted is EVERYTHING and self._chunk[:2] == (start, end):
            return self._chunk[2]
        found = islice(self._entries, start - self._dropped, end - self._dropped)
        chunk = b"".join(entry.event for entry in found if _sent(entry, wanted))
        if wanted is EVERYTHING:
            self._chunk = (start, end, chunk)
        return chunk

    async def _wait_for_news(self) -> bool:
        """Wait until there is an outcome, or for the time of a heartbeat; return False after that."""
        # A future for each follower: one that all share would search its list of callbacks whenever one of them leaves.
        loop = asyncio.get_running_loop()
        news: asyncio.Future[bool] = loop.create_future()
        heartbeat = loop.call_later(HEARTBEAT_SECONDS, _wake, news, False)
        self._waiting.add(news)
        try:
            return await news
        finally:
            heartbeat.cancel()
            self._waiting.discard(news)

    def _announce(self) -> None:
        for news in self._waiting:
            _wake(news, True)
        self._waiting.clear()

    async def _read(self, place: str) -> None:
        """Read the stream until the task is cancelled; a server that is away is asked again."""
        while True:
            try:
                page = await self._client.ledger.outcomes_page(place, PAGE, block_seconds=_BLOCK_SECONDS)
            except LedgerError as error:
                structlog.get_logger("gateway").warning("outcomes cannot be read", reason=str(error))
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            place = page.place
            if page.outcomes or page.missed is not None:
                self._keep(entries_of(page))
                self._announce()
                await asyncio.sleep(_GATHER_SECONDS)

    def _keep(self, entries: list[FeedEntry]) -> None:
        self._entries.extend(entries)
        self._bytes += sum(len(entry.event) for entry in entries)
        while self._bytes > self._max_bytes and len(self._entries) > 1:
            oldest = self._entries.popleft()
            self._bytes -= len(oldest.event)
            self._before = oldest.place
            self._dropped += 1


def entries_of(page: OutcomePage) -> list[FeedEntry]:
    """Return the events of a page; missing outcomes are an event of their own, before the outcomes that follow."""
    missed = [] if page.missed is None else [_missed_entry(page.missed)]
    return missed + [_entry(place, outcome) for place, outcome in page.outcomes]


def _entry(place: str, outcome: Outcome) -> FeedEntry:
    card = outcome.report.card_id if isinstance(outcome.report, CardReport) else None
    return FeedEntry(read_place(place), encode_event("outcome", outcome, place), outcome.kind, card, outcome.state)


def _missed_entry(missed: OutcomesMissedError) -> FeedEntry:
    data = OutcomesMissed(count=missed.count, after=missed.after, place=missed.place)
    return FeedEntry(read_place(missed.place), encode_event("missed", data, missed.place), MISSED, None, MISSED)


MISSED = "missed"


def _wake(waiting: asyncio.Future[bool], has_news: bool) -> None:
    if not waiting.done():  # its follower may have left
        waiting.set_result(has_news)


def _sent(entry: FeedEntry, wanted: OutcomeFilter) -> bool:
    return entry.kind == MISSED or wanted.accepts(entry)


def read_place(text: str) -> tuple[int, int]:
    """Return a place as numbers, which sort by time. Raises ValueError."""
    milliseconds, _, sequence = text.partition("-")
    return int(milliseconds), int(sequence or 0)


def write_place(place: tuple[int, int]) -> str:
    """Return a place as text."""
    return f"{place[0]}-{place[1]}"
