"""Handler of `CheckHealth`: check that this worker can answer a card, by its model, memory and library threads."""

from __future__ import annotations

import psutil

from ledger.contracts.jobs import CheckHealth
from ledger.contracts.reports import HealthCheck, HealthReport
from workers.jobs.context import JobContext
from workers.models.verification import check_model
from workers.pool.library_threads import threads_by_library


def check_health(job: CheckHealth, context: JobContext) -> HealthReport:
    """Check this worker. An unhealthy worker returns a report with the failed checks; it does not fail the job."""
    digest, checks = check_model(job.model, context.models, reload=job.anew)
    memory_mb = psutil.Process().memory_info().rss / 2**20
    limit_mb = context.settings.child_max_memory_mb or float("inf")
    detail = f"{memory_mb:.0f} MB of {limit_mb:.0f} MB"
    checks.append(HealthCheck(name="memory", passed=memory_mb <= limit_mb, detail=detail))
    checks.append(_threads(context.settings.training_threads))
    return HealthReport(
        status="healthy" if all(check.passed for check in checks) else "unhealthy",
        checks=tuple(checks),
        model=digest,
        memory_mb=memory_mb,
    )


def _threads(training: int) -> HealthCheck:
    """Check for one thread per library: with more, a forked child may hang, and its bits depend on the machine."""
    libraries = threads_by_library()
    detail = ", ".join(f"{name} {number}" for name, number in libraries.items())
    passed = all(number == 1 for number in libraries.values())
    return HealthCheck(name="threads", passed=passed, detail=f"{detail}; training on {training}")
