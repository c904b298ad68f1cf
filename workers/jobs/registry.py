"""The handlers of a pool: which function answers which kind of job.

The functions are given by name and imported when they are first needed: the engine takes seconds and memory to import,
and only children that need it should pay for it. A pool whose children share what is imported before the fork imports
its handlers then (`warm_up`); another one imports a handler in its child, with the first job of that kind.
"""

from __future__ import annotations

import pkgutil
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, cast

from engine.resources.library_pages import release_library_pages
from ledger.contracts.jobs import ROUTES
from ledger.contracts.prediction_record import PredictionPage
from ledger.contracts.reports import Report
from ledger.server.optional_libraries import hidden
from workers.jobs.context import JobContext


class HandlerResult(NamedTuple):
    """A report, and the page of the prediction log that is stored in the step that settles the report."""

    report: Report
    page: PredictionPage | None


Handler = Callable[[Any, JobContext], Report | HandlerResult]
"""A function that answers a job of its kind. Its exceptions become typed failures."""

HandlerRegistry = Mapping[str, str | Handler]
"""Handlers by kind of job: the function itself, or its name as `module:function`."""

HANDLERS: HandlerRegistry = {
    "predict_card": "workers.handlers.prediction.prediction_log:predict_and_log",
    "review_model": "workers.handlers.monitoring.review_model:review_model",
    "review_bets": "workers.handlers.monitoring.review_bets:review_bets",
    "compare_models": "workers.handlers.monitoring.compare_models:compare_models",
    "archive_outcomes": "workers.handlers.archive_outcomes.archive_outcomes:archive_outcomes",
    "archive_prices": "workers.handlers.archive_prices:archive_prices",
    "settle_bets": "workers.handlers.monitoring.settle_bets:settle_bets",
    "shadow_card": "workers.handlers.prediction.shadow_card:predict_shadow_card",
    "check_health": "workers.handlers.check_health:check_health",
    "train_ensemble": "workers.handlers.training.train_ensemble:train_ensemble",
    "backtest": "workers.handlers.training.backtest:backtest",
    "judge_models": "workers.handlers.training.judge_models:judge_models",
    "update_model": "workers.handlers.training.update_model:update_model",
    "update_fight_log": "workers.handlers.fight_log.update_fight_log:update_fight_log",
    "collect_garbage": "workers.handlers.collect_garbage:collect_garbage",
    "train_part": "workers.handlers.training.train_ensemble:train_part",
    "backtest_part": "workers.handlers.training.backtest:backtest_part",
    "replay": "workers.handlers.replay.replay:replay",
    "retrain": "workers.handlers.replay.reproduce:reproduce_training",
}

UNUSED_LIBRARIES = ("cffi", "charset_normalizer", "coverage", "pyarrow", "yaml")
"""What numba, numpy and pandas import wherever it is installed, and no handler uses as it is imported.

Parquet files are read and written by pyarrow all the same, which is imported with the first of them.
"""
_USERS_OF_PYARROW = ("archive_outcomes",)
"""Kinds whose handlers import pyarrow themselves."""


def find_handler(kind: str, registry: HandlerRegistry) -> Handler:
    """Return the handler of a kind, and import it if necessary. Raises LookupError if there is none."""
    if kind not in registry:
        raise LookupError(f"this pool has no handler for {kind}")
    handler = registry[kind]
    return cast("Handler", pkgutil.resolve_name(handler)) if isinstance(handler, str) else handler


def is_imported(kind: str, registry: HandlerRegistry) -> bool:
    """Return True if there is nothing to import before the handler of a kind is called."""
    handler = registry.get(kind)
    return not isinstance(handler, str) or handler.partition(":")[0] in sys.modules


def import_handler(kind: str, registry: HandlerRegistry) -> None:
    """Import the handler of a kind into a process of a pool; one of ours without the libraries that it does not use.

    Raises LookupError if there is none.
    """
    ours, new = registry.get(kind) == HANDLERS.get(kind), not is_imported(kind, registry)
    unused = {*UNUSED_LIBRARIES} - {"pyarrow"} if kind in _USERS_OF_PYARROW else UNUSED_LIBRARIES
    with hidden(*(unused if ours else ())):
        find_handler(kind, registry)
    if new:
        release_library_pages()  # what the libraries needed only to be loaded


def warm_up(queues: Iterable[str], registry: HandlerRegistry) -> None:
    """Import the handlers of these queues, so that the first jobs do not wait for the imports."""
    wanted = set(queues)
    for kind, route in ROUTES.items():
        if route.queue in wanted and kind in registry:
            import_handler(kind, registry)
