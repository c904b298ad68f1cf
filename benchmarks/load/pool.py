"""The pool of the long run: real cards, and small jobs that do nothing or fail."""

from __future__ import annotations

import sys

import workers.handlers.check_health  # noqa: F401 - loads the engine before the fork, as real pools do
from engine.errors import ValidationError
from ledger.contracts.jobs import CheckHealth
from ledger.contracts.reports import HealthCheck, HealthReport
from workers.__main__ import main
from workers.jobs.context import JobContext
from workers.jobs.registry import HANDLERS

FAILING, DEFECTIVE = "fails", "is defective"
"""How the nonces of jobs begin that end as `invalid_input`, and as `internal`."""
_CHECKS = (HealthCheck(name="no-op", passed=True, detail=""),)


def answer(job: CheckHealth, context: JobContext) -> HealthReport:
    """Answer at once, or fail as the nonce says."""
    if job.nonce.startswith(FAILING):
        raise ValidationError("the features of this job are wrong")
    if job.nonce.startswith(DEFECTIVE):
        raise ZeroDivisionError("a fault of the handler")
    return HealthReport(status="healthy", checks=_CHECKS, model=job.model, memory_mb=1.0)


if __name__ == "__main__":
    sys.exit(main(handlers={**HANDLERS, "check_health": answer}))
