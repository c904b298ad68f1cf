"""The watchdog of a pool, which verifies that the pool still consumes.

At an interval the supervisor writes a liveness probe, a question with a known answer, and pushes a doorbell to a queue
that only this pool consumes. The answer arrives only if the broker connection pops, Celery's event loop dispatches, a
child wakes, and that child reaches the ledger and can claim: all that a job needs except its own handler. A pool whose
children are all running jobs within their time limits needs no other proof. A liveness probe is no job, so it leaves no
outcome and needs no model.

Not covered: whether the answers to cards are right (`CheckHealth`), and one stuck child among others that work.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from ledger.contracts import codec
from ledger.contracts.jobs import CheckHealth
from ledger.ledger import Ledger
from workers.pool.liveness_probe import PROBE_LIFETIME_INTERVALS, expected_answer
from workers.pool.pool import CHILD_START_SECONDS, WorkerPool
from workers.supervisor.rules import ChildSnapshot

_LONGEST_STEP_SECONDS = 6.0  # twice the longest time between two ticks of an idle pool


class Watchdog:
    """The time for which a pool has shown no sign of consuming."""

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool
        self._ttl_seconds = PROBE_LIFETIME_INTERVALS * pool.settings.liveness_probe_seconds
        self._expected_answer = b""
        self._sent_seconds = -float("inf")
        self._ticked_seconds = float("inf")
        self._silent_seconds = -CHILD_START_SECONDS  # children may need this long to import the engine
        self._answered = False
        self._answered_once = False

    @property
    def expired(self) -> bool:
        """True if the pool has been silent for longer than its timeout."""
        return self._silent_seconds > self._pool.settings.liveness_timeout_seconds

    @property
    def silent_seconds(self) -> float | None:
        """The time without a sign; None before the first one."""
        return self._silent_seconds if self._answered_once else None

    def tick(self, ledger: Ledger, children: Iterable[ChildSnapshot], now_seconds: float) -> None:
        """Look for a sign of consumption, and send the next probe when it is due.

        Raises LedgerUnavailableError; such a tick does not count, because no pool can consume then. Time without ticks,
        as when the whole pool was stopped, does not count either.
        """
        if self._expected_answer and not self._answered:
            self._answered = ledger.liveness_probes.answer(self._pool.liveness_queue) == self._expected_answer
        answered = self._answered
        if now_seconds - self._sent_seconds >= self._pool.settings.liveness_probe_seconds:
            question = codec.encode(CheckHealth(nonce=secrets.token_hex(8)))
            self._pool.scoreboard.request_child()  # all children may be waiting for claims, with none left for Celery
            ledger.liveness_probes.send(self._pool.liveness_queue, question, self._ttl_seconds)
            self._sent_seconds, self._expected_answer = now_seconds, expected_answer(question)
            self._answered = False
        if answered or _all_busy(children):
            self._silent_seconds = 0.0
            self._answered_once = True
        else:
            self._silent_seconds += min(max(now_seconds - self._ticked_seconds, 0.0), _LONGEST_STEP_SECONDS)
        self._ticked_seconds = now_seconds


def _all_busy(children: Iterable[ChildSnapshot]) -> bool:
    living = [child for child in children if child.alive]
    return bool(living) and all(child.slot.token for child in living)
