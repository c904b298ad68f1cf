"""What the ensemble says of one fight, as plain values."""

from __future__ import annotations

from dataclasses import dataclass

from engine import market_model
from engine.intervals import Method

UNCERTAINTY_LEVEL = 0.8
"""Level of the interval whose width is called uncertainty: the one whose lower bound decides about a bet."""

Bounds = tuple[float, float]


@dataclass(frozen=True, slots=True)
class MarketAware:
    """The market-aware probability. band: (lower, upper) by level; see `engine.market_model` for what it assumes."""

    probability: float
    band: dict[float, Bounds]
    method: market_model.Method = "market_assumption"


@dataclass(frozen=True, slots=True)
class FightPrediction:
    """The answer for one row: everything is said of `fighter_a`, the first of the pair.

    probability: calibrated, statistics only. intervals: (lower, upper) by level, made by `interval_method`.
    uncertainty: width of the interval at UNCERTAINTY_LEVEL. sampling_interval: percentile interval over the replicas
    at `sampling_level`, None with `sampling_reason`; sampling_error: Monte Carlo standard deviation of its ends, None
    without it. members: each member's own mirror-averaged probability, not calibrated. market_aware: None
    with `market_aware_reason`. warnings: `low_confidence`, `high_uncertainty`.
    """

    fighter_a: str
    fighter_b: str
    probability: float
    intervals: dict[float, Bounds]
    interval_method: Method
    uncertainty: float
    sampling_interval: Bounds | None
    sampling_level: float
    sampling_error: float | None
    sampling_reason: str | None
    members: dict[str, float]
    market_aware: MarketAware | None
    market_aware_reason: market_model.AbsenceReason | None
    warnings: tuple[str, ...]
