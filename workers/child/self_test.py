"""The self-test of a child that predicts: whether it could answer a card, reported to the main process.

The self-test runs in a child because only children load the engine, and after the answer to a liveness probe, when the
child has nothing better to do. At an interval each child checks the reference predictions of the configured model, with
the same code and the same open model as a card.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ledger.contracts.reports import HealthCheck
from workers.models.model_cache import ModelCache
from workers.pool.event_pipe import SelfTestResult
from workers.pool.pool import WorkerPool

if TYPE_CHECKING:
    from engine.ensemble import ProductionEnsembleManager

MAX_DETAIL_CHARACTERS = 300  # a message of the event pipe has to be short


class SelfTester:
    """The self-test of one child."""

    def __init__(self, pool: WorkerPool, models: Callable[[], ModelCache[ProductionEnsembleManager]]) -> None:
        self._pool = pool
        self._models = models
        self._due_seconds = -float("inf")

    def test_if_due(self) -> None:
        """Run the self-test and send its result, if it is due. Raises LedgerUnavailableError."""
        if time.monotonic() < self._due_seconds:
            return
        from workers.models.verification import check_model  # imports the engine: only in children that predict

        self._due_seconds = time.monotonic() + self._pool.settings.self_test_seconds
        try:
            model, checks = check_model(self._pool.settings.self_test_model, self._models())
        except (MemoryError, OSError) as error:  # an error of the machine, not of the model
            model, checks = (
                None,
                [HealthCheck(name="model_loaded", passed=False, detail=f"{type(error).__name__}: {error}")],
            )
        reported = [HealthCheck(name=check.name, passed=check.passed, detail=_short(check.detail)) for check in checks]
        self._pool.event_pipe.send(SelfTestResult(reported, model))


def _short(detail: str) -> str:
    return detail if len(detail) <= MAX_DETAIL_CHARACTERS else detail[: MAX_DETAIL_CHARACTERS - 1] + "…"
