"""A pool whose answers differ at each attempt, so that an outcome that was replaced shows."""

from __future__ import annotations

import secrets
import sys

from ledger.contracts.jobs import CheckHealth
from ledger.contracts.reports import HealthCheck, HealthReport
from workers.__main__ import main
from workers.jobs.context import JobContext


def answer(job: CheckHealth, _: JobContext) -> HealthReport:
    """Answer with a number that no other attempt has."""
    check = HealthCheck(name="attempt", passed=True, detail=secrets.token_hex(16))
    return HealthReport(status="healthy", checks=(check,), model=job.model, memory_mb=0.0)


if __name__ == "__main__":
    sys.exit(main(handlers={"check_health": answer}))
