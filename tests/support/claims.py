"""What tests of claims begin with."""

from __future__ import annotations

from datetime import datetime

from ledger.contracts.failures import Failure, FailureCode
from ledger.contracts.jobs import CheckHealth
from ledger.contracts.reports import HealthReport
from ledger.ledger import Claim, Ledger

REPORT = HealthReport(status="healthy", checks=(), memory_mb=1.5)
FAILURE = Failure(code=FailureCode.INTERNAL, message="it broke")
OWNER = "node#7f/101"


def submit(ledger: Ledger, name: str = "job", deadline: datetime | None = None) -> str:
    return ledger.submit(CheckHealth(nonce=name, deadline=deadline), key=name).job_id


def claim_one(ledger: Ledger, owner: str = OWNER) -> Claim:
    (claim,) = ledger.claim("predict", owner)
    return claim
