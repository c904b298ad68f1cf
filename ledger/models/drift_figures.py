"""The latest drift figures: how far a model's probabilities are from the results of fights."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from ledger.contracts.job_reports.monitoring_reports import SequentialTestResult
from ledger.contracts.lazy_decoder import decode
from ledger.server.server import Server


class DriftFigures(Struct, frozen=True, kw_only=True):
    """Distance of a model's probabilities from results, as measured by a review.

    `drift` is by how much favourites are proven to win more, or less, often than predicted: 0 while nothing is proven.
    `features` is the result of the feature test, None without such a test.
    """

    model: str
    drift: float
    fights: int
    features: SequentialTestResult | None = None


class DriftStore:
    """The latest drift figures, which pools publish as metrics."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def set(self, drift: DriftFigures) -> None:
        """Store the figures of the last review; pools publish them."""
        self._server.execute("SET", self._server.key("drift"), msgspec.json.encode(drift))

    def latest(self) -> DriftFigures | None:
        """Return the figures of the last review, None before the first."""
        kept = self._server.execute("GET", self._server.key("drift"))
        return None if kept is None else decode(kept, DriftFigures)
