"""Plain Celery app with the memory jobs, for Celery's own autoscaler. Started by `benchmarks.pools.autoscaling`."""

from __future__ import annotations

import os

from celery import Celery

from benchmarks.pools import memory_job

app = Celery("stock", broker=os.environ.get("STOCK_URL"), backend=os.environ.get("STOCK_URL"))


@app.task  # type: ignore[untyped-decorator]  # celery ships no types
def fill(megabytes: float, seconds: float) -> float:
    """Allocate memory."""
    return memory_job.fill(megabytes, seconds)
