"""What a child does when the doorbell rings: claim, run, claim again while there is work, and listen for more.

A child whose pool has one queue listens until it is called back: Celery has it again when the pool is to prove that it
consumes, when the operator stops the queue, and when the pool shrinks or ends. Where there are more queues it listens
for a while only, or the others would wait for it.

A doorbell says only that there is work in a queue; which, the ledger decides when it is claimed. So a doorbell too
many finds nothing, and one that got lost is rung again by the guard.
"""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable, Iterable
from functools import cached_property, partial
from typing import TYPE_CHECKING

import structlog

from ledger.contracts.failures import LedgerUnavailable, PermissionDenied
from ledger.ledger import Claim, Ledger
from workers.broker.kombu_transport import BELL, put_aside
from workers.child.batch_size import Worked, claim_size
from workers.child.executor import Execution, Terminated
from workers.child.memory_admission import Admission
from workers.child.self_test import SelfTester
from workers.models.model_cache import ModelCache, load_manager
from workers.pool.liveness_probe import answer_canary
from workers.pool.pool import Pool, predicts

if TYPE_CHECKING:
    from engine.ensemble import ProductionEnsembleManager

# Training takes a child, and its time limit, for itself.
_CLAIMED_ALONE = ("train",)
_LISTEN_SECONDS = 0.1  # between two looks at whether there is room, and the pool is not closing, just after a job


class Doorbell:
    """One child's way to the ledger. It is opened with the first doorbell: connections must not be forked."""

    def __init__(self, pool: Pool, queues: Callable[[], Iterable[str]]) -> None:
        self._pool = pool
        self._queues = queues  # which of them Celery was told to consume is known later

    def answer(self, queue: str) -> None:
        """Work off a queue and listen to it for as long as this child may; answer a canary."""
        signal.signal(signal.SIGTERM, _leave)  # only now: billiard sets its own when the child is ready
        try:
            if queue == self._pool.canary:
                answer_canary(self._pool, self._ledger, self._owner)
                if predicts(self._pool, self._queues()):
                    self._self_tester.test_if_due()
            if (heard := self._only_queue if queue == self._pool.canary else queue) is not None:
                self._stay_with(heard)
        except LedgerUnavailable as unavailable:
            structlog.get_logger("cornerman").warning("ledger unavailable", error=str(unavailable))
        except PermissionDenied as denied:
            structlog.get_logger("cornerman").error("ledger denies", error=str(denied))

    def _stay_with(self, queue: str) -> None:
        """Work off a queue, and then listen to its doorbell, which is faster than being woken through Celery."""
        until_seconds = time.monotonic() + self._pool.settings.drain_seconds
        heard: list[Claim] = []
        while True:
            with self._admission.booked(rested=bool(heard)) as room:
                if not room or self._admission.yielding:
                    self._give_back(heard, "no room for a usual job" if not room else "the child is to claim no more")
                    return
                self._drain(queue, heard or self._ledger.claim(queue, self._owner), until_seconds)
            heard = self._hear(queue, until_seconds)
            if not heard:
                return
            if self._only_queue is not None and time.monotonic() >= until_seconds:
                until_seconds = time.monotonic() + self._pool.settings.drain_seconds

    def _give_back(self, claims: list[Claim], reason: str) -> None:
        if claims:
            self._ledger.release_many(claims, ring=True)
            structlog.get_logger("cornerman").info("claims given back", jobs=len(claims), reason=reason)

    def _drain(self, queue: str, claims: list[Claim], until_seconds: float) -> None:
        """Work off claims, and the queue that they are from, until it is empty or the time is over.

        A queue that the last claim emptied is not asked again: what has come since has rung.
        """
        most = 1 if queue in _CLAIMED_ALONE else self._pool.settings.claim_limit
        while claims:
            started_seconds = time.monotonic()
            self._execution.work_off(claims)
            now_seconds = time.monotonic()
            waiting = claims[0].waiting
            if not waiting or now_seconds >= until_seconds or self._admission.yielding:
                return
            worked = Worked(len(claims), now_seconds - started_seconds, waiting)
            claims = self._ledger.claim(queue, self._owner, claim_size(worked, most))

    def _hear(self, queue: str, until_seconds: float) -> list[Claim]:
        """Listen until there is a claim, and return it; nothing when Celery is to have the child, or for want of room.

        Nothing is booked meanwhile: another child may need the memory for more than a usual job.
        """
        board = self._pool.board
        while board.has_room and not self._admission.yielding and not board.stopped:
            patience_seconds = min(until_seconds - time.monotonic(), _LISTEN_SECONDS)
            if patience_seconds <= 0:
                if self._only_queue is None or board.answer_call():
                    break
                patience_seconds = self._pool.settings.guard_seconds  # it is the guard who calls back
            item, claims = self._ledger.claim_when_notified(queue, self._owner, patience_seconds)
            if item not in (None, BELL):
                put_aside(self._pool.settings.ledger)(queue, item)
            if claims:
                return claims
        return []

    @cached_property
    def _only_queue(self) -> str | None:
        """The queue of a pool that has no other."""
        queues = {*self._queues()} - {self._pool.canary}
        return queues.pop() if len(queues) == 1 else None

    @cached_property
    def _owner(self) -> str:
        return self._pool.owner(os.getpid())

    @cached_property
    def _ledger(self) -> Ledger:
        return Ledger.connect(self._pool.settings.ledger)

    @cached_property
    def _models(self) -> ModelCache[ProductionEnsembleManager]:
        from workers.models.model_store import Store  # with it comes the engine, which only children load

        settings = self._pool.settings
        load = partial(load_manager, max_memory_mb=settings.memory_limit_mb or math.inf)
        store = Store.of(settings)
        return ModelCache(
            store.fetch,
            self._ledger.aliases.resolve,
            load,
            settings.cached_models,
            self._pool.preloaded,
            store.discard_copy,
        )

    @cached_property
    def _execution(self) -> Execution:
        return Execution(self._pool, self._ledger, self._models, self._admission)

    @cached_property
    def _self_tester(self) -> SelfTester:
        return SelfTester(self._pool, lambda: self._models)

    @cached_property
    def _admission(self) -> Admission:
        return Admission(self._pool)


def _leave(signum: int, frame: object) -> None:
    Terminated.told = True
    raise Terminated(0)
