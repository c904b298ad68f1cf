"""The liveness probe of a queue."""

from __future__ import annotations

from ledger.contracts import codec
from ledger.ledger import Ledger
from workers.pool.pool import Pool

_MISSED = 4  # intervals after which a question that nobody took is gone


def answer_to(question: bytes) -> bytes:
    """Return the known answer: the digest of the job that the question spells. Raises JobRefused if it spells none."""
    return codec.content_digest(codec.encode(codec.decode_job(question))).encode()


def answer_canary(pool: Pool, ledger: Ledger, owner: str) -> None:
    """Answer as a child, after a claim as for every doorbell; in this queue there is never a job."""
    pool.board.answer_call()  # a child that was free needs no other to come
    ledger.claim(pool.canary, owner)
    if (question := ledger.liveness_probes.question(pool.canary)) is not None:
        ledger.liveness_probes.set_answer(pool.canary, answer_to(question), _MISSED * pool.settings.canary_seconds)
