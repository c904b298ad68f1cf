"""Dead letters, made as supervisors make them."""

from __future__ import annotations

import uuid

from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import ROUTES, CheckHealth, Job, kind_of
from ledger.ledger import Ledger


def dead_letter(ledger: Ledger, job: Job | None = None) -> str:
    """Submit a job of the caller `shop`, by default a health check, that loses its worker on every attempt.

    Returns its id. Other jobs of its queue are cancelled; the test must have no pool for it.
    """
    lost = CheckHealth(nonce=uuid.uuid4().hex) if job is None else job
    job_id = ledger.submit(lost, caller="shop").job_id
    while True:
        (claim,) = ledger.claim(ROUTES[kind_of(lost)].queue, "n#1/1")
        if claim.job_id != job_id:
            ledger.cancel(claim.job_id)  # of an earlier test
        elif ledger.report_worker_lost(job_id, claim.fence) is JobState.FAILED:
            return job_id
