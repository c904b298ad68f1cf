"""A pool whose answer to a health check is a digest of the check, so that a test knows every answer in advance."""

from __future__ import annotations

import hashlib
import sys
import time

from ledger.contracts.jobs import CheckHealth
from ledger.contracts.reports import HealthCheck, HealthReport
from workers.__main__ import main
from workers.jobs.context import JobContext

WORK_SECONDS = 0.02


def answer(job: CheckHealth) -> HealthReport:
    """Return the answer to a check, as it is computed without a queue, too."""
    digest = hashlib.sha256(job.nonce.encode()).hexdigest()
    return HealthReport(
        status="healthy", checks=(HealthCheck(name="digest", passed=True, detail=digest),), memory_mb=1.0
    )


def handle(job: CheckHealth, context: JobContext) -> HealthReport:
    """Report progress, take some time, and answer."""
    context.progress("digesting", 0, 1)
    time.sleep(WORK_SECONDS)
    return answer(job)


if __name__ == "__main__":
    sys.exit(main(handlers={"check_health": handle}))
