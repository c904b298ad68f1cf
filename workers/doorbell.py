"""What a child does when the doorbell rings: claim, run, claim again while there is work, and listen for a while.

A doorbell says only that there is work in a queue; which, the ledger decides when it is claimed. So a doorbell too
many finds nothing, and one that got lost is rung again by the guard.
"""

from __future__ import annotations

import math
import os
import signal
import time
from functools import cached_property, partial

import structlog

from ledger.book import Ledger
from ledger.failures import LedgerUnavailable
from workers.claim_size import Worked, claim_size
from workers.execution import Execution, Terminated
from workers.models import ModelCache, load_manager
from workers.pool import Pool
from workers.transport import BELL, put_aside
from workers.watchdog import answer_canary

# Training takes a child, and its time limit, for itself.
_CLAIMED_ALONE = ("train",)
_LISTEN_SECONDS = 0.1  # between two looks at whether the pool is closing


class Doorbell:
    """One child's way to the ledger. It is opened with the first doorbell: connections must not be forked."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def answer(self, queue: str) -> None:
        """Work off a queue until the pool is closing or `drain_seconds` are over; answer a canary."""
        signal.signal(signal.SIGTERM, _leave)  # only now: billiard sets its own when the child is ready
        try:
            if queue == self._pool.canary:
                answer_canary(self._pool, self._ledger, self._pool.owner(os.getpid()))
            else:
                self._drain(queue)
        except LedgerUnavailable as unavailable:
            structlog.get_logger("cornerman").warning("ledger unavailable", error=str(unavailable))

    def _drain(self, queue: str) -> None:
        until_seconds = time.monotonic() + self._pool.settings.drain_seconds
        most = 1 if queue in _CLAIMED_ALONE else self._pool.settings.claim_limit
        worked: Worked | None = None
        while not self._pool.board.closing:
            claims = self._ledger.claim(queue, self._pool.owner(os.getpid()), claim_size(worked, most))
            started_seconds = time.monotonic()
            if claims:
                self._execution.work_off(claims)
            now_seconds = time.monotonic()
            if now_seconds >= until_seconds:
                return
            if claims:
                worked = Worked(len(claims), now_seconds - started_seconds, claims[0].waiting)
            elif self._hears(queue, until_seconds):
                worked = None
            else:
                return

    def _hears(self, queue: str, until_seconds: float) -> bool:
        """Listen to the doorbell for the rest of the time, which is faster than being woken through Celery."""
        while not self._pool.board.closing and (remaining_seconds := until_seconds - time.monotonic()) > 0:
            item = self._ledger.listen(queue, min(remaining_seconds, _LISTEN_SECONDS))
            if item is not None:
                if item != BELL:
                    put_aside(self._pool.settings.ledger)(queue, item)
                return True
        return False

    @cached_property
    def _ledger(self) -> Ledger:
        return Ledger.connect(self._pool.settings.ledger)

    @cached_property
    def _execution(self) -> Execution:
        settings = self._pool.settings
        load = partial(load_manager, max_memory_mb=settings.memory_limit_mb or math.inf)
        models = ModelCache(settings.models_folder, self._ledger.resolve_alias, load, settings.cached_models)
        return Execution(self._pool, self._ledger, models)


def _leave(signum: int, frame: object) -> None:
    raise Terminated(0)
