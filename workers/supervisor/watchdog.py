"""The watchdog of a pool, which proves that it still consumes.

At an interval the guard asks a question with a known answer through a doorbell that only this pool hears. The answer
comes back only if the broker connection pops, Celery's loop hands on, a child wakes, and that child reaches the ledger
and can claim: all that a job needs but its own handler. A pool all of whose children are at work, each within its time
limit, needs no other proof. The question is no job, so it leaves no outcome and needs no model.

Not covered: whether the answers to cards are right (`CheckHealth`), and one stuck child among others that work.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from ledger.contracts import codec
from ledger.contracts.jobs import CheckHealth
from ledger.ledger import Ledger
from workers.pool.liveness_probe import _MISSED, answer_to
from workers.pool.pool import START_SECONDS, Pool
from workers.supervisor.rules import Child

_LONGEST_STEP_SECONDS = 1.0


class Watchdog:
    """Counts for how long a pool has given no sign of consuming."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._ttl_seconds = _MISSED * pool.settings.canary_seconds
        self._expected = b""
        self._asked_seconds = -float("inf")
        self._looked_seconds = float("inf")
        self._silent_seconds = -START_SECONDS  # until then the first children may still import the engine
        self._heard = False

    @property
    def barks(self) -> bool:
        """Whether the pool has been silent for longer than its patience."""
        return self._silent_seconds > self._pool.settings.canary_patience_seconds

    @property
    def silent_seconds(self) -> float | None:
        """For how long there was no sign; None before the first one."""
        return self._silent_seconds if self._heard else None

    def look(self, ledger: Ledger, children: Iterable[Child], now_seconds: float) -> None:
        """Look for a sign, and ask again when it is time.

        Raises LedgerUnavailable; such a look counts for nothing, because no pool can consume then. Nor does the time
        count in which nobody looked, as when the whole pool was stopped.
        """
        answered = self._expected and ledger.liveness_probes.answer(self._pool.canary) == self._expected
        if now_seconds - self._asked_seconds >= self._pool.settings.canary_seconds:
            question = codec.encode(CheckHealth(nonce=secrets.token_hex(8)))
            self._pool.board.call()  # all children may be listening, and Celery has none to hand it to
            ledger.liveness_probes.send(self._pool.canary, question, self._ttl_seconds)
            self._asked_seconds, self._expected = now_seconds, answer_to(question)
        if answered or _all_at_work(children):
            self._silent_seconds = 0.0
            self._heard = True
        else:
            self._silent_seconds += min(max(now_seconds - self._looked_seconds, 0.0), _LONGEST_STEP_SECONDS)
        self._looked_seconds = now_seconds


def _all_at_work(children: Iterable[Child]) -> bool:
    living = [child for child in children if child.alive]
    return bool(living) and all(child.activity.token for child in living)
