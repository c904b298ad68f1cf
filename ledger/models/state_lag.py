"""How far the fighters' state of a model lags behind the events: the age of the oldest one that it does not contain.

An event is a day of which results were fed back, or cards were answered, and which has passed. A card's day is in UTC,
a fight log's at the place of the event, so a day counts as contained if it is at most TIME_ZONE_DAYS after the state's
last one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from msgspec import Struct

from ledger.models.fight_results import FightResults
from ledger.models.model_registry import ModelRegistry
from ledger.models.prediction_log import PredictionLog
from ledger.server.server import Server

TIME_ZONE_DAYS = 1


class StateLag(Struct, frozen=True, kw_only=True):
    """The lag of a model's state: `days` since the oldest event that it does not contain, 0 if it contains all."""

    model: str
    days: int


class StateLags:
    """Lags of the fighters' states of models."""

    def __init__(self, server: Server, models: ModelRegistry, log: PredictionLog, results: FightResults) -> None:
        self._server = server
        self._models = models
        self._log = log
        self._results = results

    def measure(self, digest: str) -> StateLag | None:
        """Return the lag of a model's state; None if no state of it is registered."""
        cutoff = state_cutoff(self._models.summary(digest))
        if cutoff is None:
            return None
        today = datetime.fromtimestamp(self._server.time(), UTC).date()
        contained = cutoff + timedelta(days=TIME_ZONE_DAYS)
        missing = [day for day in self._log.days() | self._results.days() if contained < day < today]
        return StateLag(model=digest, days=(today - min(missing)).days if missing else 0)


def state_cutoff(summary: Mapping[str, Any]) -> date | None:
    """Return the last day of the fighters' state in a registered summary; None for a model without a state."""
    if "state" in summary:
        return date.fromisoformat(summary["state"]["cutoff"])
    # A version that registered no states: a training on a fight log had that of its last fight.
    trained_on_a_log = "config" in summary and "matrix" not in summary
    return date.fromisoformat(summary["data"]["cutoff"]) if trained_on_a_log and "data" in summary else None
