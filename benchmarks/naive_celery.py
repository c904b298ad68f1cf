"""The naive way through the queue: what a competent user writes after reading Celery's documentation.

JSON, results in Redis, prefork, and every setting at its default. Started by `benchmarks.contestants` as
`celery -A benchmarks.naive_celery worker`.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery

URL_VARIABLE = "NAIVE_CELERY_URL"


def create_app(url: str | None) -> Celery:
    """Return an app with two tasks, `check_health` and `count_fights`, whose broker and results are at `url`."""
    made = Celery("naive", broker=url, backend=url)
    made.task(check_health, name="check_health")
    made.task(count_fights, name="count_fights")
    return made


def check_health(model: str, nonce: str) -> dict[str, Any]:
    """Answer what our no-op answers."""
    check = {"name": "no-op", "passed": True, "detail": ""}
    return {"status": "healthy", "checks": [check], "model": model, "memory_mb": 1.0}


def count_fights(card: dict[str, Any]) -> int:
    """Take a whole card and answer next to nothing."""
    return len(card["fights"])


app = create_app(os.environ.get(URL_VARIABLE))
