"""What the leader of a feed writes of each poll: its begin, what it brought, how it ended; under the fence of its lead.

While the ledger does not answer, a reading that has been paid for waits and is written again, until the lead is lost.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from ledger.contracts.failures import FailureCode, JobRefusedError, LeadershipLostError, LedgerUnavailableError
from ledger.contracts.feeds import FeedFailure, FeedState, RetrievalRecord
from ledger.feeds.feed_store import DumpMark
from producer.client import Client
from producer.feed_runner.card_policy import CardPolicy
from producer.feed_runner.failures import Reason, RetrievalError
from producer.feed_runner.feed_log import log
from producer.feed_runner.leadership import Leadership
from producer.feed_runner.metrics import RunnerMetrics
from producer.feed_runner.processing import process_reading
from producer.feed_runner.reading import Reading, Retrieval, read_retrieval
from producer.feed_runner.settings import FeedSettings
from producer.feed_runner.sources.dumps import keep

T = TypeVar("T")

MAX_FAULTS = 20
MAX_FAULT_CHARACTERS = 300
_MAX_TOLD = 1_000
_TELL_AGAIN_SECONDS = 3600.0
RETRY_SECONDS = 0.5
_FULL_SECONDS = 5.0
_UNENDED_SECONDS = 5.0
_MAX_DOUBLINGS = 12


class StoppedError(Exception):
    """The runner is to end, or has lost the lead: what it was doing is left to the next leader."""


@dataclass
class FeedWriter:
    """The writes of one feed runner.

    Attributes
    ----------
    client
        A client of this object alone, whose server gets the fence.
    name
        Name of the feed.
    settings, leadership, metrics
        Those of the runner.
    policy
        When a card gets a new answer; None to submit no cards.
    stopping
        Set when the runner is to end.
    state
        The feed's state, as this leader last wrote it.
    attempts
        Polls that earlier leaders began and did not end.
    totals
        What this runner has read and written: retrievals, quotes, changes, cards, faults.
    writing
        Held while a reading is written, so that the runner does not end in between.
    """

    client: Client
    name: str
    settings: FeedSettings
    leadership: Leadership
    metrics: RunnerMetrics
    policy: CardPolicy | None
    stopping: threading.Event
    state: FeedState = field(default_factory=FeedState)
    attempts: int = 0
    attempted_at: datetime | None = None
    totals: Counter[str] = field(default_factory=Counter)
    writing: threading.Lock = field(default_factory=threading.Lock)
    _fence: str | None = None
    _told: dict[str, float] = field(default_factory=dict)

    def now(self) -> datetime:
        """Return the ledger's time. Raises LedgerUnavailableError."""
        return datetime.fromtimestamp(self.client.ledger.server.time(), UTC)

    def has_lead(self) -> bool:
        """Return True if this runner leads; after a change of the lead, read the state that the last leader left."""
        fence = self.leadership.fence
        if fence is None:
            self._fence = None
            return False
        if fence != self._fence:
            found = self.client.ledger.feeds.status(self.name)
            self.state, self.attempts, self.attempted_at = found.state, found.attempts, found.attempted_at
            self.client.ledger.server.fence, self._fence = fence, fence
        return True

    def begin(self, state: FeedState) -> None:
        """Write that a poll begins, with the state that holds if it never ends. Raises LeadershipLostError."""
        now = self.now()
        self.attempts = self.client.ledger.feeds.begin_poll(self.name, state)
        self.state, self.attempted_at = state, now

    def earliest_poll(self, interval_seconds: float) -> float:
        """Return when to poll at the earliest, in seconds since 1970, if the last polls have not ended.

        Something in them may end feed runners, and each of them may cost credits.
        """
        if not self.attempts or self.attempted_at is None:
            return 0.0
        doubled = _UNENDED_SECONDS * 2.0 ** min(self.attempts - 1, _MAX_DOUBLINGS)
        return self.attempted_at.timestamp() + min(doubled, max(interval_seconds, 1.0))

    def read(self, retrieval: Retrieval) -> Reading:
        """Return what a retrieval contains; log each refused event and quote, once. Raises RetrievalError."""
        reading = read_retrieval(retrieval, price_format=self.settings.price_format, model=self.settings.feed_model)
        for error in reading.refused:
            self.tell_once(logging.WARNING, "event refused", reason=error.failure.message[:MAX_FAULT_CHARACTERS])
        for sentence in reading.invalid_quotes:
            self.tell_once(logging.WARNING, "quote refused", reason=sentence[:MAX_FAULT_CHARACTERS])
        return reading

    def process(self, reading: Reading, *, kept: bool = True) -> RetrievalRecord:
        """Store the prices and cards of a reading, and return its record.

        Raises
        ------
        RetrievalError
            The ledger refuses the reading.
        StoppedError
            The lead was lost, or the runner is to end and the ledger does not answer.
        """
        folder = self.settings.feed_keep if kept else ""
        name = self._keep(Path(folder), reading.retrieval) if folder else None
        missing_time = timedelta(seconds=self.settings.feed_missing_seconds)
        process = partial(process_reading, self.client, self.name, reading, self.policy, missing_time)
        counts = self._patiently(process)
        fights = reading.fights
        return RetrievalRecord(
            read_at=reading.retrieval.read_at,
            provider_at=reading.retrieval.provider_at,
            sha256=reading.retrieval.sha256,
            payload_bytes=len(reading.retrieval.content),
            events=len(fights) + len(reading.refused),
            quotes=sum(len(fight.quotes) for fight in fights),
            invalid_quotes=sum(len(fight.invalid_quotes) for fight in fights),
            faults=len(reading.refused),
            changes=counts["changes"],
            cards=counts["cards"],
            cost=reading.retrieval.cost,
            kept=name,
        )

    def succeed(self, state: FeedState, record: RetrievalRecord, *, mark: DumpMark | None = None) -> None:
        """Write a poll that succeeded. Raises StoppedError."""
        if self.state.failure is not None:
            log(logging.INFO, "feed answers again", feed=self.name, failures=self.state.failure.count)
        counts = {name: getattr(record, name) for name in ("quotes", "changes", "cards", "faults")}
        totals = {"retrievals": 1, **counts}
        end_poll = self.client.ledger.feeds.end_poll
        self._patiently(partial(end_poll, self.name, state, retrieval=record, mark=mark, totals=totals))
        self.totals.update(totals)
        self._ended("success", counts, state)

    def fail(self, state: FeedState, error: RetrievalError, *, mark: DumpMark | None = None) -> None:
        """Write a poll that failed, and say so once. Raises StoppedError."""
        before = self.state.failure
        if before is None or (before.reason, before.message) != (error.reason, str(error)):
            log(logging.ERROR, "feed failed", feed=self.name, reason=error.reason.value, message=str(error))
        end_poll = self.client.ledger.feeds.end_poll
        self._patiently(partial(end_poll, self.name, state, mark=mark, totals={f"failures.{error.reason}": 1}))
        self._ended(error.reason.value, {}, state)

    def failure(self, error: RetrievalError, now: datetime) -> FeedFailure:
        """Return the failures since the last success, with one more."""
        before = self.state.failure
        return FeedFailure(
            reason=error.reason.value, message=str(error), at=now, count=1 if before is None else before.count + 1
        )

    def tell_once(self, level: int, event: str, **fields: str) -> None:
        """Write a log line, unless the same one was written within an hour."""
        line, now = f"{event} {fields}", time.monotonic()
        if len(self._told) >= _MAX_TOLD:
            self._told = {other: at for other, at in self._told.items() if now < at + _TELL_AGAIN_SECONDS}
        if now >= self._told.get(line, -math.inf) + _TELL_AGAIN_SECONDS and len(self._told) < _MAX_TOLD:
            self._told[line] = now
            log(level, event, feed=self.name, **fields)

    def finish(self) -> None:
        """Write that the feed was read to its end, unless another runner leads."""
        with suppress(StoppedError, LedgerUnavailableError):
            if self.has_lead():
                self.note(replace(self.state, done=True, next_poll=None))

    def note(self, state: FeedState) -> None:
        """Write a state without a poll. Raises StoppedError."""
        self._patiently(partial(self.client.ledger.feeds.end_poll, self.name, state, totals={}))
        self.state = state

    def _ended(self, result: str, counts: Mapping[str, int], state: FeedState) -> None:
        self.state, self.attempts = state, 0
        self.metrics.poll_ended(result, dict(counts), state)

    def _keep(self, folder: Path, retrieval: Retrieval) -> str | None:
        try:
            return keep(folder, retrieval)
        except OSError as error:  # the prices are worth more than their copy
            self.tell_once(logging.ERROR, "payload not kept", folder=str(folder), reason=str(error.strerror))
            return None

    def _patiently(self, write: Callable[[], T]) -> T:
        """Write what has been paid for; while the ledger does not answer, try again until the lead is lost."""
        while True:
            try:
                return write()
            except LeadershipLostError:
                log(logging.WARNING, "write refused: another feed runner leads", feed=self.name)
                self.leadership.lost()
                raise StoppedError from None
            except LedgerUnavailableError as error:
                self.tell_once(logging.ERROR, "ledger does not answer", error=str(error))
                if self.leadership.fence is None or self.stopping.wait(RETRY_SECONDS):
                    raise StoppedError from None
            except JobRefusedError as refusal:
                full = refusal.failure.code is FailureCode.MEMORY_LIMIT_EXCEEDED
                raise RetrievalError(
                    Reason.PROCESSING,
                    f"the ledger refuses: {refusal.failure.message}",
                    retry_after_seconds=_FULL_SECONDS if full else None,
                ) from None


def fault_sentences(reading: Reading) -> tuple[str, ...]:
    """Return one sentence for each refused event, then for each refused quote, for the feed's state."""
    sentences = chain((error.failure.message for error in reading.refused), reading.invalid_quotes)
    return tuple(sentence[:MAX_FAULT_CHARACTERS] for sentence in islice(sentences, MAX_FAULTS))
