"""Decoding of claimed jobs."""

from __future__ import annotations

from ledger.contracts import codec
from ledger.contracts.failures import JobRefusedError
from ledger.contracts.jobs import Job, PredictCard, kind_of
from ledger.jobs.quote_age import fresh_until, stale_odds_failure
from ledger.ledger import Claim


def decode_claim(claim: Claim) -> Job:
    """Return the job of a claim.

    Raises JobRefusedError if its payload is no job, or a job of another kind than its record states; and if its quotes
    were too old at the time of the claim, which gives the same result in every later attempt.
    """
    job = codec.decode_job(claim.payload)
    if kind_of(job) != claim.kind:
        raise codec.job_refused(
            f"the record has kind {claim.kind}, its payload {kind_of(job)}: it was not written by submit"
        )
    until = fresh_until(job)
    if isinstance(job, PredictCard) and until is not None and claim.claimed_at >= until:
        raise JobRefusedError(stale_odds_failure(job, claim.claimed_at))
    return job
