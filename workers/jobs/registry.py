"""Which function answers which kind of job.

The functions are named, not imported: the engine takes seconds and memory to import, which only the children are to
pay, and only those that need it.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, cast

from ledger.contracts.jobs import ROUTES
from ledger.contracts.prediction_record import Page
from ledger.contracts.reports import Report
from workers.jobs.context import JobContext


class Noted(NamedTuple):
    """A report, and what the journal is to note in the step that settles it."""

    report: Report
    page: Page | None


Handler = Callable[[Any, JobContext], Report | Noted]
"""Answers a job of its kind. What it raises becomes a typed failure."""

Registry = Mapping[str, str | Handler]
"""Handlers by kind: the function itself, or its name as `module:function`."""

HANDLERS: Registry = {
    "predict_card": "workers.handlers.prediction.prediction_log:predict_and_log",
    "review_model": "workers.handlers.monitoring.review_model:review_model",
    "compare_models": "workers.handlers.monitoring.compare_models:compare_models",
    "shadow_card": "workers.handlers.prediction.shadow_card:predict_shadow_card",
    "check_health": "workers.handlers.check_health:check_health",
    "train_ensemble": "workers.handlers.training.train_ensemble:train",
    "backtest": "workers.handlers.training.backtest:backtest",
    "judge_models": "workers.handlers.training.judge_models:judge_models",
    "collect_garbage": "workers.handlers.collect_garbage:collect",
    "train_part": "workers.handlers.training.train_ensemble:train_part",
    "backtest_part": "workers.handlers.training.backtest:backtest_part",
    "replay": "workers.handlers.replay.replay:replay",
    "retrain": "workers.handlers.replay.reproduce:retrain",
}


def handler_of(kind: str, registry: Registry) -> Handler:
    """Return the handler of a kind, importing it where that is still to do. Raises LookupError for want of one."""
    if kind not in registry:
        raise LookupError(f"this pool has no handler for {kind}")
    handler = registry[kind]
    return cast("Handler", pkgutil.resolve_name(handler)) if isinstance(handler, str) else handler


def warm_up(queues: Iterable[str], registry: Registry) -> None:
    """Import what jobs of these queues need, so that the first of them need not wait for it."""
    wanted = set(queues)
    for kind, route in ROUTES.items():
        if route.queue in wanted and kind in registry:
            handler_of(kind, registry)
