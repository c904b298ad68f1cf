"""The liveness probe of a pool: its known answer, and how a child gives it."""

from __future__ import annotations

from ledger.contracts import codec
from ledger.ledger import Ledger
from workers.pool.pool import Pool

PROBE_LIFETIME_INTERVALS = 4  # intervals after which an unanswered probe expires


def answer_to(question: bytes) -> bytes:
    """Return the known answer: the digest of the job in the question. Raises JobRefused if it contains none."""
    return codec.content_digest(codec.encode(codec.decode_job(question))).encode()


def answer_canary(pool: Pool, ledger: Ledger, owner: str) -> None:
    """Answer a liveness probe from a child, after a claim as for every doorbell; this queue never holds a job."""
    pool.board.answer_call()  # this child was free, so no other need be requested
    ledger.claim(pool.canary, owner)
    if (question := ledger.liveness_probes.question(pool.canary)) is not None:
        lifetime_seconds = PROBE_LIFETIME_INTERVALS * pool.settings.canary_seconds
        ledger.liveness_probes.set_answer(pool.canary, answer_to(question), lifetime_seconds)
