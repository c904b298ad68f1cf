"""Our queue without work: the real pool with handlers that return at once."""

from __future__ import annotations

import sys
from functools import cache

from msgspec.structs import replace

import workers.handlers.check_health  # noqa: F401 - loads the engine before the fork, as real pools do
from benchmarks.queue.cards import card, report
from ledger.contracts.jobs import CheckHealth, PredictCard
from ledger.contracts.reports import CardReport, HealthCheck, HealthReport
from workers.__main__ import main
from workers.jobs.context import JobContext

_CHECKS = (HealthCheck(name="no-op", passed=True, detail=""),)


def answer(job: CheckHealth, context: JobContext) -> HealthReport:
    """Return what the naive task returns."""
    return HealthReport(status="healthy", checks=_CHECKS, model=job.model, memory_mb=1.0)


def answer_card(job: PredictCard, context: JobContext) -> CardReport:
    """Return a prepared answer of full size, as the naive task does."""
    return replace(_answer(), card_id=job.card_id)


@cache
def _answer() -> CardReport:
    return report(card("answered before"))


if __name__ == "__main__":
    sys.exit(main(handlers={"check_health": answer, "predict_card": answer_card}))
