"""The naive way through the queue: what a competent user writes after reading Celery's documentation.

JSON, results in Redis, prefork, every setting that Celery recommends nothing else for at its default. Started by
`benchmarks.contestants` as `celery -A benchmarks.naive_celery worker`.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery

URL_VARIABLE = "NAIVE_CELERY_URL"

app = Celery("naive", broker=os.environ.get(URL_VARIABLE), backend=os.environ.get(URL_VARIABLE))


@app.task  # type: ignore[untyped-decorator]  # celery ships no types
def check_health(model: str, nonce: str) -> dict[str, Any]:
    """Answer what our no-op answers."""
    check = {"name": "no-op", "passed": True, "detail": ""}
    return {"status": "healthy", "checks": [check], "model": model, "memory_mb": 1.0}


@app.task  # type: ignore[untyped-decorator]  # celery ships no types
def count_fights(card: dict[str, Any]) -> int:
    """Take a whole card and answer next to nothing."""
    return len(card["fights"])
