"""The consumer of a child: it claims jobs after a doorbell, runs them, and claims again while there is work.

A child whose pool has one queue keeps waiting for claims until it is requested back: Celery needs it for the liveness
probe, when the operator stops the queue, and when the pool shrinks or ends. If the pool has several queues, the child
waits for a limited time only, so that the other queues are served too.

A doorbell means only that a queue has work; the ledger decides which job a claim returns. So a surplus doorbell finds
nothing, and a lost one is pushed again by a supervisor.
"""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable, Iterable
from functools import cached_property, partial
from itertools import chain
from typing import TYPE_CHECKING

import structlog

from ledger.contracts.failures import LedgerUnavailableError, PermissionDeniedError
from ledger.ledger import Claim, Ledger
from ledger.server.topology.addresses import read_address
from ledger.server.topology.resolver import CHECK_SECONDS
from workers.broker.kombu_transport import DOORBELL, quarantine_with
from workers.child.batch_size import BatchTiming, next_batch_size
from workers.child.executor import Executor, ShutdownRequested
from workers.child.memory_admission import MemoryAdmission
from workers.child.self_test import SelfTester
from workers.models.model_cache import ModelCache, load_manager
from workers.pool.event_pipe import attempt_finished
from workers.pool.liveness_probe import answer_liveness_probe
from workers.pool.pool import WorkerPool, serves_predictions

if TYPE_CHECKING:
    from engine.ensemble import ProductionEnsembleManager
    from workers.models.model_store import Store

# A training occupies a child, with a time limit of its own.
_UNBATCHED_QUEUES = ("train",)
_POLL_SECONDS = 0.1  # in a pool with several queues: between two checks of memory and shutdown
_WAIT_SECONDS = 12.0
"""How long a child waits for a doorbell: the supervisor ends the wait if the child has to leave it.

It bears on nothing but faults. While the process is stopped, or its machine cut off, a job may be claimed for it for as
long, and waits for the end of its lease; a server that a cut connection hides is noticed as much later.
"""


class ChildConsumer:
    """The consumer of one child. It connects at the first doorbell: connections must not survive a fork."""

    def __init__(self, pool: WorkerPool, queues: Callable[[], Iterable[str]]) -> None:
        self._pool = pool
        self._queues = queues  # Celery learns later which queues it consumes

    def handle(self, queue: str) -> None:
        """Serve a queue and wait for its claims for as long as this child may; answer a liveness probe."""
        # Only now: billiard sets its own handler when the child is ready.
        signal.signal(signal.SIGTERM, _request_shutdown)
        try:
            if queue == self._pool.liveness_queue:
                answer_liveness_probe(self._pool, self._ledger, self._owner)
                if serves_predictions(self._pool, self._queues()):
                    self._self_tester.test_if_due()
            else:  # its job may have a time of its own, of which the pool learns by looking
                self._pool.supervisor_wakeup.wake()
            if (served := self._only_queue if queue == self._pool.liveness_queue else queue) is not None:
                self._serve_queue(served)
        except LedgerUnavailableError as unavailable:
            structlog.get_logger("cornerman").warning("ledger unavailable", error=str(unavailable))
        except PermissionDeniedError as denied:
            structlog.get_logger("cornerman").error("ledger permission denied", error=str(denied))

    def _serve_queue(self, queue: str) -> None:
        """Process the backlog of a queue, then wait for its next claim, which is faster than a wake-up by Celery."""
        until_seconds = time.monotonic() + self._pool.settings.queue_slice_seconds
        executor = self._executor  # before any claim: a child that cannot have one must hold no job
        claims: list[Claim] = []
        while True:
            with self._admission.reserve(rested=bool(claims)) as reserved:
                if not reserved or self._admission.should_stop_claiming:
                    reason = "not enough memory for a typical job" if not reserved else "the child must claim no more"
                    self._release(claims, reason)
                    return
                self._process_backlog(executor, queue, claims or self._claim(queue), until_seconds)
            claims = self._wait_for_claim(queue, until_seconds)
            if not claims:
                return
            if self._only_queue is not None and time.monotonic() >= until_seconds:
                until_seconds = time.monotonic() + self._pool.settings.queue_slice_seconds

    def _release(self, claims: list[Claim], reason: str) -> None:
        if claims:
            self._ledger.release_many(claims, ring=True, reason=reason)
            ended = (attempt_finished(claim, "released", reason=reason) for claim in claims)
            self._pool.event_pipe.send(*chain.from_iterable(ended))
            structlog.get_logger("cornerman").info("claims released", jobs=len(claims), reason=reason)

    def _process_backlog(self, executor: Executor, queue: str, claims: list[Claim], until_seconds: float) -> None:
        """Run claims, and further claims of their queue, until the queue is empty or the time is over.

        A queue that the last claim emptied is not claimed from again: later jobs push a doorbell of their own.
        """
        if claims:
            self._pool.note_work()
        max_size = 1 if queue in _UNBATCHED_QUEUES else self._pool.settings.max_jobs_per_claim
        while claims:
            started_seconds = time.monotonic()
            executor.run(claims)
            now_seconds = time.monotonic()
            waiting = claims[0].queue_length
            if not waiting or now_seconds >= until_seconds or self._admission.should_stop_claiming:
                return
            timing = BatchTiming(len(claims), now_seconds - started_seconds, waiting)
            claims = self._claim(queue, next_batch_size(timing, max_size))

    def _wait_for_claim(self, queue: str, until_seconds: float) -> list[Claim]:
        """Wait for a claim and return it; empty if Celery needs the child, or if memory is short.

        Nothing is reserved meanwhile: another child may need the memory for a larger job.
        """
        scoreboard, recall = self._pool.scoreboard, self._pool.liveness_queue
        while scoreboard.can_start_job and not self._admission.should_stop_claiming and not scoreboard.stopped:
            timeout_seconds = self._wait_seconds
            if self._only_queue is None:
                timeout_seconds = min(until_seconds - time.monotonic(), _POLL_SECONDS)
                if timeout_seconds <= 0:
                    break
            item, claims = self._ledger.claim_when_notified(queue, self._owner, timeout_seconds, recall)
            if isinstance(item, bytes) and item != DOORBELL:
                quarantine_with(self._pool.settings.ledger)(queue, item)
            if claims:
                return self._begun(claims)
            if self._only_queue is not None and scoreboard.take_request():
                break
            if item is not None:  # a control has changed, or a job with a time of its own has been submitted
                self._pool.supervisor_wakeup.wake()
        return []

    def _claim(self, queue: str, limit: int = 1) -> list[Claim]:
        return self._begun(self._ledger.claim(queue, self._owner, limit))

    def _begun(self, claims: list[Claim]) -> list[Claim]:
        """Return claims with the spans of their attempts, if spans are sent."""
        if self._pool.tracing is None or not claims:
            return claims
        try:
            begun, events = self._pool.tracing.begin(claims, self._owner)
        except Exception:  # noqa: BLE001 - whatever it is, the jobs run, without spans
            structlog.get_logger("cornerman").exception("spans not begun")
            return claims
        self._pool.event_pipe.send(*events)
        return begun

    @cached_property
    def _only_queue(self) -> str | None:
        """The queue of a pool that has only one; else None."""
        queues = {*self._queues()} - {self._pool.liveness_queue}
        return queues.pop() if len(queues) == 1 else None

    @cached_property
    def _wait_seconds(self) -> float:
        """How long to wait at a server; one that is found may become a replica, which only the end of a wait shows."""
        found = read_address(self._pool.settings.ledger.redis_url or "").kind != "server"
        return CHECK_SECONDS if found else _WAIT_SECONDS

    @cached_property
    def _owner(self) -> str:
        return self._pool.owner(os.getpid())

    @cached_property
    def _ledger(self) -> Ledger:
        return Ledger.connect(self._pool.settings.ledger)

    @cached_property
    def _store(self) -> Store:
        """The store, opened by the first job that needs a model: not every pool has such jobs."""
        from workers.models.model_store import Store  # imports the engine, which only children load

        return Store.from_settings(self._pool.settings)

    @cached_property
    def _models(self) -> ModelCache[ProductionEnsembleManager]:
        settings = self._pool.settings
        load = partial(load_manager, max_memory_mb=settings.child_max_memory_mb or math.inf)
        return ModelCache(
            lambda digest: self._store.fetch(digest),
            self._ledger.aliases.resolve,
            load,
            settings.model_cache_size,
            self._pool.preloaded_models,
            lambda digest: self._store.discard_copy(digest),
        )

    @cached_property
    def _executor(self) -> Executor:
        return Executor(self._pool, self._ledger, self._models, self._admission)

    @cached_property
    def _self_tester(self) -> SelfTester:
        return SelfTester(self._pool, lambda: self._models)

    @cached_property
    def _admission(self) -> MemoryAdmission:
        return MemoryAdmission(self._pool)


def _request_shutdown(signum: int, frame: object) -> None:
    ShutdownRequested.raised = True
    raise ShutdownRequested(0)
