"""The polls of a live feed: when the next one is due, which endpoint it asks, and what follows from its answer."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace

from ledger.contracts.failures import LeadershipLostError, LedgerError
from ledger.contracts.feeds import FeedBudget, FeedState, RetrievalRecord
from producer.feed_runner import budget as budgets
from producer.feed_runner.budget import Usage
from producer.feed_runner.failures import LASTING, TRANSIENT, Reason, RetrievalError
from producer.feed_runner.feed_log import LOGGER, log
from producer.feed_runner.feed_writer import RETRY_SECONDS, FeedWriter, StoppedError, fault_sentences
from producer.feed_runner.poll_plan import FOREVER, next_poll, plan_polls, tier_at
from producer.feed_runner.reading import Reading, Retrieval
from producer.feed_runner.settings import FeedSettings
from producer.feed_runner.sources.odds_api import SCORES_COST, OddsApiSource
from producer.feed_runner.sources.scores import ScoresFolder

MAX_STARTS = 200
RATE_LIMIT_SECONDS = 30.0
"""Longest time to the next poll after a refusal for too many requests that names no time."""
_DEFECT_SECONDS = 5.0
_MAX_DOUBLINGS = 12


@dataclass(frozen=True)
class DuePoll:
    """The next poll: when, in seconds since 1970, and whether it asks for prices or for the events only."""

    at: float
    prices: bool


class LiveLoop:
    """Polls one live source for as long as this runner leads."""

    def __init__(self, writer: FeedWriter, source: OddsApiSource) -> None:
        self._writer = writer
        self._source = source
        self._settings = writer.settings
        self._led = False
        folder, every_seconds = writer.settings.feed_scores, writer.settings.feed_scores_seconds
        self._scores = ScoresFolder(Path(folder), every_seconds) if folder else None

    def run(self, *, once: bool = False) -> bool:
        """Poll until the runner is to end, or until the end of one poll. Return True if the last poll succeeded."""
        ended: bool | None = None
        while not self._writer.stopping.is_set() and not (once and ended is not None):
            try:
                ended = self._step(at_once=once)
            except LeadershipLostError:
                self._writer.leadership.lost()
            except (StoppedError, asyncio.CancelledError):
                pass
            except LedgerError as error:
                self._writer.tell_once(logging.ERROR, "ledger does not answer", error=str(error))
                self._writer.stopping.wait(RETRY_SECONDS)
            except Exception:  # a defect must not end the feed; after it the next poll is later
                logging.getLogger(LOGGER).exception("feed runner failed")
                self._writer.stopping.wait(_DEFECT_SECONDS)
        return bool(ended)

    def _step(self, *, at_once: bool) -> bool | None:
        """Wait for a while, or poll. Return True or False after a poll that succeeded or failed, else None."""
        writer = self._writer
        if not writer.has_lead():
            self._led = False
            if at_once and writer.leadership.stands_by:
                log(logging.INFO, "not polled: another feed runner leads", feed=writer.name)
                return True
            writer.leadership.wait()
            return None
        taken_over, self._led = not self._led, True
        now = writer.now()
        if taken_over and writer.state.failure is not None and writer.state.failure.reason in LASTING:
            # A runner was started again, perhaps with a corrected key.
            writer.state = replace(writer.state, next_poll=now)
        state = self._current(replace(writer.state, done=False), now)
        if self._scores is not None and self._scores.is_due(now.timestamp()):
            state = self._read_scores(self._scores, state, now)
        if state.budget.exhausted and state.budget.resets_at is not None:
            until = state.budget.resets_at.isoformat()
            writer.tell_once(logging.ERROR, "budget exhausted: no prices are asked for", until=until)
        due = due_poll(state, now.timestamp(), self._settings)
        at = max(due.at, writer.earliest_poll(state.interval_seconds))
        if at > now.timestamp() and not at_once:
            writer.leadership.wait(at - now.timestamp())
            return None
        return self._poll(state, prices=due.prices or (at_once and not state.budget.exhausted))

    def _read_scores(self, scores: ScoresFolder, state: FeedState, now: datetime) -> FeedState:
        """Read the scores if the budget has more than the next poll of the prices needs; return the state after."""
        scores.failed(now)  # unless it succeeds
        left = state.budget.remaining
        if left is not None and left < SCORES_COST + state.budget.cost:
            self._writer.tell_once(logging.WARNING, "scores not read", reason="the credits are kept for prices")
            return state
        cost = 0
        try:
            retrieval, usage = self._source.scores()
            cost = SCORES_COST
            scores.keep(retrieval)
        except RetrievalError as error:
            usage = error.usage
            self._writer.tell_once(logging.WARNING, "scores not read", reason=str(error))
        state = replace(state, budget=budgets.settled(state.budget, usage, cost))
        self._writer.state = state
        return state

    def _poll(self, state: FeedState, *, prices: bool) -> bool:
        writer, cost = self._writer, state.budget.cost if prices else 0
        writer.begin(replace(state, budget=budgets.booked(state.budget, cost)))
        try:
            retrieved = self._source.prices() if prices else self._source.events()
        except RetrievalError as error:
            with writer.writing:
                self._failed(state, error, unsettled=self._source.unsettled * cost)
            return False
        with writer.writing:
            after = replace(state, budget=self._settled(state, retrieved.usage, cost, prices=prices))
            try:
                self._succeeded(after, retrieved.retrieval, prices=prices)
            except RetrievalError as error:
                self._failed(after, error)
                return False
        return True

    def _succeeded(self, state: FeedState, retrieval: Retrieval, *, prices: bool) -> None:
        writer, now = self._writer, retrieval.read_at
        reading = writer.read(retrieval)
        record = writer.process(reading) if prices else _record_of_events(reading)
        coming = tuple(start for start in reading.starts if start > now)[:MAX_STARTS]
        state = replace(
            state,
            last_success=now,
            last_prices=now if prices else state.last_prices,
            starts=coming,
            failure=None,
            faults=fault_sentences(reading),
        )
        writer.succeed(self._planned(state, now), record)

    def _failed(self, state: FeedState, error: RetrievalError, unsettled: int = 0) -> None:
        writer = self._writer
        now = writer.now()
        state = replace(state, budget=budgets.settled(state.budget, error.usage, 0, unsettled))
        state = self._planned(replace(state, failure=writer.failure(error, now)), now)
        seconds = retry_seconds(error, state, self._settings)
        writer.fail(replace(state, next_poll=_moment(now.timestamp() + seconds)), error)

    def _settled(self, state: FeedState, usage: Usage, cost: int, *, prices: bool) -> FeedBudget:
        """Return the budget after a response; what polls of prices cost is learnt from those that cost something."""
        after = budgets.settled(state.budget, usage, cost, self._source.unsettled * cost)
        return replace(after, cost=usage.last) if prices and usage.last else after

    def _current(self, state: FeedState, now: datetime) -> FeedState:
        budget = budgets.current(state.budget, now, self._settings)
        if state.last_prices is None and state.budget.resets_at is None:
            budget = replace(budget, cost=self._settings.cost)
        return self._planned(replace(state, budget=budget), now)

    def _planned(self, state: FeedState, now: datetime) -> FeedState:
        """Return a state with the tier, interval, coverage and next poll that follow from the rest of it."""
        seconds, settings = now.timestamp(), self._settings
        resets_at = seconds if state.budget.resets_at is None else state.budget.resets_at.timestamp()
        left = budgets.polls_left(state.budget)
        plan = plan_polls(state.starts, seconds, settings, polls_left=left, resets_at=resets_at)
        tier = tier_at(seconds, state.starts, settings)
        interval = min(plan.intervals[tier], settings.feed_idle_seconds)
        if state.last_prices is None:  # it is not idle: nothing is known yet
            interval = min(interval, settings.feed_day_seconds)
        state = replace(
            state,
            tier=tier.value,
            interval_seconds=interval,
            budget=replace(state.budget, coverage=plan.coverage),
        )
        if state.failure is not None:
            return state
        return replace(state, next_poll=_moment(due_poll(state, seconds, settings).at))


def due_poll(state: FeedState, now: float, settings: FeedSettings) -> DuePoll:
    """Return the next poll.

    Prices are polled by the time to the next event, and the events alone, which cost nothing, if no prices are due for
    long: because no event is to come, or because the budget does not pay for them.
    """
    left = budgets.polls_left(state.budget)
    resets_at = now if state.budget.resets_at is None else state.budget.resets_at.timestamp()
    plan = plan_polls(state.starts, now, settings, polls_left=left, resets_at=resets_at)
    prices_at = now
    if state.budget.exhausted:
        prices_at = FOREVER
    elif state.last_prices is not None:
        prices_at = next_poll(state.last_prices.timestamp(), state.starts, plan.intervals, settings)
    events_at = now if state.last_success is None else state.last_success.timestamp() + settings.feed_idle_seconds
    if state.failure is not None and state.next_poll is not None:
        at = state.next_poll.timestamp()
        return DuePoll(min(at, now + _longest_wait(settings)), prices=prices_at <= at)
    at = min(prices_at, events_at)
    return DuePoll(min(at, now + _longest_wait(settings)), prices=prices_at <= events_at)


def retry_seconds(error: RetrievalError, state: FeedState, settings: FeedSettings) -> float:
    """Return the time to the next poll after a failure: soon only if another try may help and costs nothing."""
    if error.reason in LASTING:
        return settings.feed_slow_retry_seconds
    if error.reason is Reason.OUT_OF_CREDITS:
        return settings.feed_idle_seconds
    if error.reason is Reason.RATE_LIMITED:
        wait = min(RATE_LIMIT_SECONDS, state.interval_seconds)
        return (
            wait if error.retry_after_seconds is None else max(settings.feed_retry_seconds, error.retry_after_seconds)
        )
    if error.reason in TRANSIENT or error.reason is Reason.PROCESSING:
        failures = 1 if state.failure is None else state.failure.count
        return min(state.interval_seconds, settings.feed_retry_seconds * 2.0 ** min(failures, _MAX_DOUBLINGS))
    return state.interval_seconds


def _longest_wait(settings: FeedSettings) -> float:
    """Return how far ahead a poll may be due: further only the server's clock has been set back."""
    return max(settings.feed_idle_seconds, settings.feed_far_seconds, settings.feed_slow_retry_seconds, 3600.0)


def _moment(seconds: float) -> datetime | None:
    return None if seconds == FOREVER else datetime.fromtimestamp(seconds, UTC)


def _record_of_events(reading: Reading) -> RetrievalRecord:
    retrieval = reading.retrieval
    return RetrievalRecord(
        read_at=retrieval.read_at,
        provider_at=retrieval.provider_at,
        sha256=retrieval.sha256,
        payload_bytes=len(retrieval.content),
        events=len(reading.fights) + len(reading.refused),
        faults=len(reading.refused),
        cost=retrieval.cost,
        without_prices=True,
    )
