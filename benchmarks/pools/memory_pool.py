"""A pool whose jobs allocate memory: the nonce is `MB:seconds:number`. Started by `benchmarks.pools.autoscaling`."""

from __future__ import annotations

import sys

from benchmarks.pools.memory_job import fill
from ledger.contracts.jobs import CheckHealth
from ledger.contracts.reports import HealthReport
from workers.__main__ import main
from workers.jobs.context import JobContext


def answer(job: CheckHealth, context: JobContext) -> HealthReport:
    """Allocate memory as the job's nonce specifies."""
    megabytes, seconds, _ = job.nonce.split(":")
    return HealthReport(status="healthy", checks=(), memory_mb=fill(float(megabytes), float(seconds)))


if __name__ == "__main__":
    sys.exit(main(["--pool", "predict"], handlers={"check_health": answer}))
