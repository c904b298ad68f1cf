"""What the ensemble says of one fight, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, fields
from operator import attrgetter

from engine.intervals.half_widths import Method
from engine.model import market_adjustment

UNCERTAINTY_LEVEL = 0.8
"""Level of the interval whose width is called uncertainty: the one whose lower bound decides about a bet."""

Bounds = tuple[float, float]


@dataclass(frozen=True, slots=True)
class MarketAware:
    """The market-aware probability. band: (lower, upper) by level; see `market_adjustment` for what it assumes."""

    probability: float
    band: dict[float, Bounds]
    method: market_adjustment.Method = "market_assumption"


@dataclass(frozen=True, slots=True, kw_only=True)
class FightSummary:
    """What a model says of one row before a price is known; everything is said of the first of its two sides.

    probability: calibrated, statistics only. intervals: (lower, upper) by level, made by `interval_method`; none, and
    None, for a model whose errors nothing has measured. uncertainty: width of the interval at UNCERTAINTY_LEVEL.
    sampling_interval: percentile interval over the replicas at `sampling_level`, None with `sampling_reason`;
    sampling_error: Monte Carlo standard deviation of its ends, None without it. members: each member's own
    mirror-averaged probability, not calibrated. correction: what the market-aware model adds to the market's logit,
    None where there is no such model. warnings: `low_confidence`, `high_uncertainty`.
    """

    probability: float
    intervals: dict[float, Bounds]
    interval_method: Method | None
    uncertainty: float | None
    sampling_interval: Bounds | None
    sampling_level: float
    sampling_error: float | None
    sampling_reason: str | None
    members: dict[str, float]
    correction: float | None
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FightPrediction(FightSummary):
    """The answer for one row: the summary, said of `fighter_a`, the first of the pair, and what its market adds.

    market_aware: None with `market_aware_reason`.
    """

    fighter_a: str
    fighter_b: str
    market_aware: MarketAware | None
    market_aware_reason: market_adjustment.AbsenceReason | None

    @classmethod
    def of(
        cls,
        summary: FightSummary,
        pair: tuple[str, str],
        market_aware: MarketAware | None,
        reason: market_adjustment.AbsenceReason,
    ) -> FightPrediction:
        """Add to a summary; `reason` is why there would be no market-aware probability."""
        return cls(
            **dict(zip(_SUMMARY, _values_of(summary), strict=True)),
            fighter_a=pair[0],
            fighter_b=pair[1],
            market_aware=market_aware,
            market_aware_reason=None if market_aware else reason,
        )


_SUMMARY = tuple(field.name for field in fields(FightSummary))
_values_of = attrgetter(*_SUMMARY)
