"""What one simulated world gives: widths and coverage of each interval method."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Coverage:
    """One method on one world at one level: the share of true probabilities inside, and the mean width."""

    method: str
    level: float
    covered: float
    width: float


@dataclass(frozen=True, slots=True)
class WorldResult:
    """What came out of one world, with the log losses as the results of its test fights fell.

    truth_log_loss, log_loss: of the truth and the model on all of them. priced_truth_log_loss, market_log_loss: of the
    truth and the market on those with a price. best_log_loss: what the truth expects, before any result fell.
    """

    name: str
    best_log_loss: float
    truth_log_loss: float
    priced_truth_log_loss: float
    market_log_loss: float
    log_loss: float
    scale: float
    coverage: tuple[Coverage, ...]
