"""Our way through the queue with nothing to do at its end: the real pool with a handler that answers at once."""

from __future__ import annotations

import sys
from functools import cache

from msgspec.structs import replace

import workers.handlers.check_health  # noqa: F401 - the engine, which real pools too load before they fork
from benchmarks.queue.cards import card, report
from ledger.contracts.jobs import CheckHealth, PredictCard
from ledger.contracts.reports import CardReport, HealthCheck, HealthReport
from workers.__main__ import main
from workers.jobs.context import JobContext

_CHECKS = (HealthCheck(name="no-op", passed=True, detail=""),)


def answer(job: CheckHealth, context: JobContext) -> HealthReport:
    """Answer what the naive task answers."""
    return HealthReport(status="healthy", checks=_CHECKS, model=job.model, memory_mb=1.0)


def answer_card(job: PredictCard, context: JobContext) -> CardReport:
    """Answer a card at once, with an answer of full size, made before as the naive task's is."""
    return replace(_answer(), card_id=job.card_id)


@cache
def _answer() -> CardReport:
    return report(card("answered before"))


if __name__ == "__main__":
    sys.exit(main(handlers={"check_health": answer, "predict_card": answer_card}))
