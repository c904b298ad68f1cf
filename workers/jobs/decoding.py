"""Decoding of claimed jobs."""

from __future__ import annotations

from ledger.contracts import codec
from ledger.contracts.failures import JobRefused
from ledger.contracts.jobs import Job, PredictCard, kind_of
from ledger.jobs.quote_age import fresh_until, stale_odds
from ledger.ledger import Claim


def read(claim: Claim) -> Job:
    """Return a claim's job.

    Raises JobRefused where its payload is none, or of another kind than the record says; and where its quotes were too
    old by the time of the claim, which is the same for whoever looks later.
    """
    job = codec.decode_job(claim.payload)
    if kind_of(job) != claim.kind:
        raise codec.refuse(f"the record says {claim.kind}, its payload {kind_of(job)}: it did not come through submit")
    until = fresh_until(job)
    if isinstance(job, PredictCard) and until is not None and claim.claimed_at >= until:
        raise JobRefused(stale_odds(job, claim.claimed_at))
    return job
