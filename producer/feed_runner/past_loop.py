"""Readings of the past: dumps and past prices of the provider, each once, in the order of their moments.

The ledger keeps which dumps were read and the moment of the last past prices, so a standby goes on where the leader
ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from msgspec.structs import replace

from ledger.contracts.failures import LeadershipLostError, LedgerError
from producer.feed_runner import budget as budgets
from producer.feed_runner.failures import LASTING, Reason, RetrievalError
from producer.feed_runner.feed_writer import RETRY_SECONDS, FeedWriter, StoppedError, fault_sentences
from producer.feed_runner.live_loop import retry_seconds
from producer.feed_runner.sources.dumps import Dump, DumpError
from producer.feed_runner.sources.odds_api import HISTORICAL_COST, OddsApiSource, snapshot_moments

SHORTEST_STEP = timedelta(seconds=1)
UNREADABLE_STEP = timedelta(minutes=5)
"""From a snapshot that cannot be read to the next one: as often as the provider makes them."""


class PastLoop:
    """Reads what lies in the past while this runner leads.

    Attributes
    ----------
    faults
        How many dumps, or snapshots, could not be read.
    """

    def __init__(self, writer: FeedWriter) -> None:
        self._writer = writer
        self.faults = 0

    def read_dumps(self, dumps: Iterable[Callable[[], Dump]]) -> bool:
        """Read dumps in the given order, without those that were read before. Return False if it was stopped first.

        It returns as the leader, also if there are no dumps, so that the end of the feed can be written.
        """
        marks: set[str] | None = None
        for load in dumps:
            while True:
                if not self._leads():
                    if self._writer.stopping.is_set():
                        return False
                    marks = None
                    continue
                try:
                    marks = self._writer.client.ledger.feeds.marks(self._writer.name) if marks is None else marks
                    self._read_dump(load, marks)
                except (StoppedError, LeadershipLostError):
                    self._writer.leadership.lost()
                    continue
                except LedgerError as error:
                    self._wait_for_ledger(error)
                    continue
                break
        return self._awaits_lead()

    def read_history(self, source: OddsApiSource, first: datetime, last: datetime, step: timedelta) -> bool:
        """Read past prices from one moment to another, in order. Return False if it was stopped first.

        Parameters
        ----------
        source
            The provider.
        first, last
            The first and the last moment.
        step
            Time between two moments; every snapshot if it is shorter than the time between two snapshots.
        """
        while not self._writer.stopping.is_set():
            try:
                if self._leads() and self._read_snapshot(source, first, last, step):
                    return True
            except (StoppedError, LeadershipLostError):
                self._writer.leadership.lost()
            except asyncio.CancelledError:
                continue
            except LedgerError as error:
                self._wait_for_ledger(error)
        return False

    def tell(self, fault: DumpError) -> None:
        """Count and log a dump that cannot be read."""
        self.faults += 1
        self._writer.tell_once(logging.ERROR, "dump refused", reason=str(fault))

    def _leads(self) -> bool:
        if self._writer.has_lead():
            return True
        self._writer.leadership.wait()
        return False

    def _awaits_lead(self) -> bool:
        """Wait until this runner leads. Return False if it was stopped first."""
        while not self._writer.stopping.is_set():
            try:
                if self._leads():
                    return True
            except LedgerError as error:
                self._wait_for_ledger(error)
        return False

    def _read_dump(self, load: Callable[[], Dump], marks: set[str]) -> None:
        writer = self._writer
        try:
            dump = load()
        except DumpError as fault:
            self.tell(fault)
            return
        mark, cursor = dump.mark, writer.state.cursor
        if str(mark) in marks:
            return
        state = replace(writer.state, done=False)
        with writer.writing:
            try:
                if cursor is not None and dump.retrieval.read_at < cursor:
                    raise RetrievalError(
                        Reason.UNREADABLE,
                        f"{dump.name}: its moment {dump.retrieval.read_at.isoformat()} is before that of the dump read "
                        f"last, {cursor.isoformat()}: read dumps in the order of their moments",
                    )
                reading = writer.read(dump.retrieval)
                record = writer.process(reading, kept=False)
            except RetrievalError as error:
                state = replace(state, failure=writer.failure(error, writer.now()))
                if error.retry_after_seconds is not None:  # the server is full: this dump is read later
                    writer.fail(state, error)
                    writer.stopping.wait(error.retry_after_seconds)
                    raise StoppedError from None
                self.faults += 1
                writer.fail(state, error, mark=mark)
                return
            now = writer.now()
            state = replace(state, last_success=now, last_prices=now, failure=None, cursor=dump.retrieval.read_at)
            writer.succeed(replace(state, faults=fault_sentences(reading)), record, mark=mark)
            marks.add(str(mark))

    def _read_snapshot(self, source: OddsApiSource, first: datetime, last: datetime, step: timedelta) -> bool:
        """Read the next snapshot, or wait. Return True if there is none."""
        writer, settings = self._writer, self._writer.settings
        now = writer.now()
        state = replace(writer.state, done=False)
        wanted = first if state.cursor is None or state.cursor < first else state.cursor
        if wanted > last:
            writer.tell_once(logging.INFO, "past prices are read", until=wanted.isoformat())
            return True
        state = replace(state, budget=budgets.current(state.budget, now, settings))
        cost = settings.cost * HISTORICAL_COST
        state = replace(state, budget=replace(state.budget, cost=cost), interval_seconds=settings.feed_idle_seconds)
        if state.budget.exhausted and state.budget.resets_at is not None:
            writer.tell_once(
                logging.ERROR, "budget exhausted: no prices are asked for", until=state.budget.resets_at.isoformat()
            )
            if writer.state.budget.coverage != 0.0:  # which is an alert
                writer.note(replace(state, interval_seconds=0.0, budget=replace(state.budget, coverage=0.0)))
            writer.leadership.wait()
            return False
        due = writer.earliest_poll(state.interval_seconds)
        if state.failure is not None and state.next_poll is not None:
            due = max(due, state.next_poll.timestamp())
        if now.timestamp() < due:
            writer.leadership.wait(due - now.timestamp())
            return False
        writer.begin(replace(state, budget=budgets.booked(state.budget, cost)))
        usage = budgets.Usage()
        try:
            retrieved = source.prices_at(wanted)
            usage = retrieved.usage
            moments = snapshot_moments(retrieved.retrieval.content)
            if moments.timestamp is None:
                raise RetrievalError(Reason.UNREADABLE, "the snapshot of past prices has no timestamp", usage=usage)
            # The prices of a snapshot were known from its moment on.
            retrieval = replace(retrieved.retrieval, read_at=moments.timestamp, provider_at=moments.timestamp)
            with writer.writing:
                reading = writer.read(retrieval)
                record = writer.process(reading)
                following = max(wanted + max(step, SHORTEST_STEP), moments.following or last + SHORTEST_STEP)
                budget = budgets.settled(state.budget, usage, cost, source.unsettled * cost)
                state = replace(state, last_success=now, last_prices=now, failure=None, cursor=following, budget=budget)
                writer.succeed(replace(state, faults=fault_sentences(reading)), record)
        except RetrievalError as error:
            self.faults += error.reason is Reason.UNREADABLE
            usage = error.usage if usage == budgets.Usage() else usage
            unsettled = source.unsettled * cost
            budget = budgets.settled(state.budget, usage, 0, unsettled)
            state = replace(state, budget=budget, failure=writer.failure(error, now))
            seconds = (
                settings.feed_slow_retry_seconds if error.reason in LASTING else retry_seconds(error, state, settings)
            )
            if error.reason is Reason.UNREADABLE:  # it will be no better tomorrow: leave it out
                state, seconds = replace(state, cursor=wanted + max(step, UNREADABLE_STEP)), 0.0
            with writer.writing:
                writer.fail(replace(state, next_poll=now + timedelta(seconds=seconds)), error)
        return False

    def _wait_for_ledger(self, error: LedgerError) -> None:
        self._writer.tell_once(logging.ERROR, "ledger does not answer", error=str(error))
        self._writer.stopping.wait(RETRY_SECONDS)
