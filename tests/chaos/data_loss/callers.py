"""Callers that submit jobs and read outcomes while servers fail, and the count of what was lost or replaced."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import msgspec

from ledger.contracts.failures import LedgerError
from ledger.contracts.job_state import Durability, JobState, JobStatus, Outcome
from ledger.contracts.jobs import CheckHealth
from ledger.jobs.outcome_reader import OutcomesMissedError
from ledger.ledger import Ledger

AGAIN_SECONDS = 0.05
PATIENCE_SECONDS = 120.0
READ_AT_ONCE = 500

T = TypeVar("T")


class Losses(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the jobs of a run.

    Attributes
    ----------
    submitted
        Jobs whose submission was confirmed to the caller.
    lost
        Of these, jobs that the ledger does not know at the end: their caller has to submit them again.
    seen
        Jobs whose outcome a reader saw.
    replaced
        Of these, jobs that have another outcome at the end, or had two at different times.
    gone
        Of these, jobs that are unknown at the end.
    unanswered
        Jobs that are known and have no outcome at the end.
    """

    submitted: int
    lost: int
    seen: int
    replaced: int
    gone: int
    unanswered: int

    @property
    def broken(self) -> int:
        """Submissions and outcomes that did not survive."""
        return self.lost + self.replaced + self.gone


class Callers:
    """Threads that submit jobs at a pace, and one that reads every outcome as soon as it is visible."""

    def __init__(self, connect: Callable[[], Ledger], durable: Durability, threads: int = 6) -> None:
        self._connect = connect
        self._durable = durable
        self._threads = threads
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._number = 0
        self.submitted: set[str] = set()
        self.seen: dict[str, bytes] = {}
        self.replaced: set[str] = set()

    @contextmanager
    def at_work(self, jobs: int, jobs_per_second: float, burst: int) -> Iterator[Callable[[], bool]]:
        """Submit and read for the duration of a block; yields what returns True when all jobs are submitted."""
        with ThreadPoolExecutor(self._threads + 1) as pool:
            pace_seconds = burst * self._threads / jobs_per_second
            feeding = [pool.submit(self._feed, jobs, burst, pace_seconds) for _ in range(self._threads)]
            reading = pool.submit(self._read)
            try:
                yield lambda: all(one.done() for one in feeding)
                for one in feeding:
                    one.result()
            finally:
                self._over.set()
            reading.result()

    def wait_until_answered(self, ledger: Ledger) -> None:
        """Wait until every known job has an outcome, as long as there are more of them now and then."""
        fewest, until_seconds = len(self.submitted), time.monotonic() + PATIENCE_SECONDS
        while (waiting := sum(_open(state) for state in self._states(ledger).values())) and (
            time.monotonic() < until_seconds
        ):
            if waiting < fewest:
                fewest, until_seconds = waiting, time.monotonic() + PATIENCE_SECONDS
            time.sleep(1.0)

    def count(self, ledger: Ledger) -> Losses:
        """Count what became of the jobs."""
        states = self._states(ledger)
        for job_id in sorted(self.seen.keys() & states.keys()):
            if states[job_id].final and (outcome := insist(partial(ledger.outcome, job_id))) is not None:
                self._note(outcome)
        return Losses(
            submitted=len(states),
            lost=sum(state is JobState.UNKNOWN for state in states.values()),
            seen=len(self.seen),
            replaced=len(self.replaced),
            gone=sum(states.get(job_id) is JobState.UNKNOWN for job_id in self.seen),
            unanswered=sum(map(_open, states.values())),
        )

    def _states(self, ledger: Ledger) -> dict[str, JobState]:
        ids = sorted(self.submitted)
        parts = [ids[first : first + READ_AT_ONCE] for first in range(0, len(ids), READ_AT_ONCE)]
        return {status.job_id: status.state for part in parts for status in insist(partial(statuses, ledger, part))}

    def _feed(self, jobs: int, burst: int, pace_seconds: float) -> None:
        ledger = insist(self._connect)
        due_seconds = time.monotonic()
        while not self._over.is_set():
            with self._lock:
                numbers = range(self._number, min(self._number + burst, jobs))
                self._number += len(numbers)
            if not numbers:
                break
            ids = [f"loss-{number}" for number in numbers]
            made = [CheckHealth(nonce=job_id) for job_id in ids]
            insist(partial(ledger.submit_many, made, keys=ids, durable=self._durable))
            self.submitted.update(ids)
            due_seconds = max(due_seconds + pace_seconds, time.monotonic() - pace_seconds)
            time.sleep(max(due_seconds - time.monotonic(), 0.0))
        ledger.close()

    def _read(self) -> None:
        ledger = insist(self._connect)
        place = "0"

        def missed(error: OutcomesMissedError) -> None:
            """Go on with what is there: after a failover, places of the last primary are unknown."""

        while not self._over.is_set():
            try:
                for found, outcome in ledger.follow(place, idle_seconds=0.2, on_missed=missed):
                    place = found
                    self._note(outcome)
            except OutcomesMissedError as error:
                place = error.place
            except LedgerError:
                time.sleep(AGAIN_SECONDS)
        ledger.close()

    def _note(self, outcome: Outcome) -> None:
        body = msgspec.json.encode((outcome.state, outcome.report, outcome.failure))
        if self.seen.setdefault(outcome.job_id, body) != body:
            self.replaced.add(outcome.job_id)


def statuses(ledger: Ledger, ids: list[str]) -> list[JobStatus]:
    """Return the states of jobs, read in one step."""
    return ledger._outcomes.statuses(ids)


def _open(state: JobState) -> bool:
    return not state.final and state is not JobState.UNKNOWN


def insist(call: Callable[[], T]) -> T:
    """Call until the server answers."""
    until_seconds = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return call()
        except LedgerError:
            if time.monotonic() > until_seconds:
                raise
            time.sleep(AGAIN_SECONDS)
