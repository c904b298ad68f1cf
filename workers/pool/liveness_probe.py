"""The liveness probe of a pool: its known answer, and how a child gives it."""

from __future__ import annotations

from ledger.contracts import codec
from ledger.ledger import Ledger
from workers.pool.pool import WorkerPool

PROBE_LIFETIME_INTERVALS = 4  # intervals after which an unanswered probe expires


def expected_answer(question: bytes) -> bytes:
    """Return the known answer: the digest of the job in the question. Raises JobRefusedError if it contains none."""
    return codec.content_digest(codec.encode(codec.decode_job(question))).encode()


def answer_liveness_probe(pool: WorkerPool, ledger: Ledger, owner: str) -> None:
    """Answer a liveness probe from a child, after a claim as for every doorbell; this queue never holds a job."""
    pool.scoreboard.take_request()  # this child was free, so no other need be requested
    ledger.claim(pool.liveness_queue, owner)
    if (question := ledger.liveness_probes.question(pool.liveness_queue)) is not None:
        lifetime_seconds = PROBE_LIFETIME_INTERVALS * pool.settings.liveness_probe_seconds
        ledger.liveness_probes.set_answer(pool.liveness_queue, expected_answer(question), lifetime_seconds)
