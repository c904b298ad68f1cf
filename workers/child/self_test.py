"""With which the children of a predicting pool find out whether they could answer a card, and tell the main process.

It runs in a child because only children have the engine, after the answer to the watchdog's question and so while there
is nothing better to do. Each child does it now and then: the known answers of the model that the setting names, with
the same code and the same open model as a card.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ledger.contracts.reports import HealthCheck
from workers.models.model_cache import ModelCache
from workers.pool.event_pipe import SelfTest
from workers.pool.pool import Pool

if TYPE_CHECKING:
    from engine.ensemble import ProductionEnsembleManager

MAX_DETAIL_CHARACTERS = 300  # a message to the main process has to be short


class SelfTester:
    """One child's self-test."""

    def __init__(self, pool: Pool, models: Callable[[], ModelCache[ProductionEnsembleManager]]) -> None:
        self._pool = pool
        self._models = models
        self._due_seconds = -float("inf")

    def test_if_due(self) -> None:
        """Test and tell, if it is time. Raises LedgerUnavailable."""
        if time.monotonic() < self._due_seconds:
            return
        from workers.models.verification import check_model

        self._due_seconds = time.monotonic() + self._pool.settings.self_test_seconds
        try:
            model, checks = check_model(self._pool.settings.self_test_model, self._models())
        except (MemoryError, OSError) as error:  # of a machine in trouble, not of the model
            model, checks = (
                None,
                [HealthCheck(name="model_loaded", passed=False, detail=f"{type(error).__name__}: {error}")],
            )
        told = [HealthCheck(name=check.name, passed=check.passed, detail=_short(check.detail)) for check in checks]
        self._pool.telemetry.tell(SelfTest(told, model))


def _short(detail: str) -> str:
    return detail if len(detail) <= MAX_DETAIL_CHARACTERS else detail[: MAX_DETAIL_CHARACTERS - 1] + "…"
