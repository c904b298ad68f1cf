"""Our way through the queue with nothing to do at its end: the real pool with a handler that answers at once."""

from __future__ import annotations

import sys

from ledger.jobs import CheckHealth
from ledger.reports import HealthCheck, HealthReport
from workers.__main__ import main
from workers.context import JobContext

_CHECKS = (HealthCheck(name="no-op", passed=True, detail=""),)


def answer(job: CheckHealth, context: JobContext) -> HealthReport:
    """Answer what the naive task answers."""
    return HealthReport(status="healthy", checks=_CHECKS, model=job.model, memory_mb=1.0)


if __name__ == "__main__":
    sys.exit(main(handlers={"check_health": answer}))
