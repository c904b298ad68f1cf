"""Naive queue: an app as a competent user writes it after reading Celery's documentation.

It uses JSON, results in Redis, prefork, and every setting at its default. Started by `benchmarks.queue.competitors` as
`celery -A benchmarks.naive_celery worker`.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import msgspec
from celery import Celery

from benchmarks.queue.cards import card as example
from benchmarks.queue.cards import report

URL_VARIABLE = "NAIVE_CELERY_URL"


def create_app(url: str | None) -> Celery:
    """Return an app with the tasks below, whose broker and result backend are at `url`."""
    made = Celery("naive", broker=url, backend=url)
    made.task(check_health, name="check_health")
    made.task(count_fights, name="count_fights")
    made.task(answer_card, name="answer_card")
    return made


def check_health(model: str, nonce: str) -> dict[str, Any]:
    """Return what our no-op handler returns."""
    check = {"name": "no-op", "passed": True, "detail": ""}
    return {"status": "healthy", "checks": [check], "model": model, "memory_mb": 1.0}


def count_fights(card: dict[str, Any]) -> int:
    """Accept a whole card and return a number."""
    return len(card["fights"])


def answer_card(card: dict[str, Any]) -> dict[str, Any]:
    """Accept a whole card and return a prepared answer of full size."""
    return _answer()


@cache
def _answer() -> dict[str, Any]:
    answer: dict[str, Any] = msgspec.to_builtins(report(example("answered before")))
    return answer


app = create_app(os.environ.get(URL_VARIABLE))
