"""Dead letters, made as supervisors make them."""

from __future__ import annotations

import uuid

from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import CheckHealth
from ledger.ledger import Ledger


def dead_letter(ledger: Ledger) -> str:
    """Submit a job of the caller `shop` that loses its worker on every attempt; return its id."""
    job_id = ledger.submit(CheckHealth(nonce=uuid.uuid4().hex), caller="shop").job_id
    while True:
        (claim,) = ledger.claim("predict", "n#1/1")
        if claim.job_id != job_id:
            ledger.cancel(claim.job_id)  # of an earlier test
        elif ledger.report_worker_lost(job_id, claim.fence) is JobState.FAILED:
            return job_id
