"""The ensemble's prediction for one fight, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, fields
from operator import attrgetter

from engine.intervals.half_widths import HalfWidthMethod
from engine.model import market_adjustment
from engine.model.contributions import Contributions

UNCERTAINTY_LEVEL = 0.8
"""Level of the interval whose width is called uncertainty: its lower bound decides about a bet."""

Bounds = tuple[float, float]


@dataclass(frozen=True, slots=True)
class MarketAwareProbability:
    """The market-aware probability and its band.

    Attributes
    ----------
    probability : float
        Probability of the first fighter.
    band : dict of float to (float, float)
        Lower and upper bound by level; `engine.model.market_adjustment` states the assumption behind it.
    method : str
        Name of the band's method.
    """

    probability: float
    band: dict[float, Bounds]
    method: market_adjustment.BandMethod = "market_assumption"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpricedPrediction:
    """The prediction for one row without its odds. All values refer to the first fighter of the pair.

    Attributes
    ----------
    probability : float
        Calibrated, without the odds of the fight.
    intervals : dict of float to (float, float)
        Lower and upper bound by level; empty for a model whose errors have not been measured.
    interval_method : str or None
        Method of `intervals`; None if there are none.
    uncertainty : float or None
        Width of the interval at UNCERTAINTY_LEVEL.
    width_shares : (float, float, float) or None
        What the half-width at UNCERTAINTY_LEVEL is made of, as in `engine.intervals.half_widths.WidthShares`; None if
        it was not measured on closing odds.
    sampling_interval : (float, float) or None
        Percentile interval over the replicas at `sampling_level`; if None, `sampling_reason` gives the reason.
    sampling_error : float or None
        Monte Carlo standard deviation of the ends of the sampling interval.
    members : dict of str to float
        Mirror-averaged probability of each member, not calibrated.
    correction : float or None
        What the market-aware model adds to the market's logit; None without such a model.
    warnings : tuple of str
        `low_confidence`, `high_uncertainty`.
    contributions : Contributions or None
        What each group of features adds to the logit of `probability`; None if they were not asked for.
    """

    probability: float
    intervals: dict[float, Bounds]
    interval_method: HalfWidthMethod | None
    uncertainty: float | None
    width_shares: tuple[float, float, float] | None = None
    sampling_interval: Bounds | None
    sampling_level: float
    sampling_error: float | None
    sampling_reason: str | None
    members: dict[str, float]
    correction: float | None
    warnings: tuple[str, ...]
    contributions: Contributions | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FightPrediction(UnpricedPrediction):
    """The complete prediction for one row: the values without odds, for `fighter_a`, and the market-aware probability.

    Attributes
    ----------
    fighter_a, fighter_b : str
        The pair.
    market_aware : MarketAwareProbability or None
        If None, `market_aware_reason` gives the reason.
    """

    fighter_a: str
    fighter_b: str
    market_aware: MarketAwareProbability | None
    market_aware_reason: market_adjustment.AbsenceReason | None

    @classmethod
    def from_unpriced(
        cls,
        prediction: UnpricedPrediction,
        pair: tuple[str, str],
        market_aware: MarketAwareProbability | None,
        reason: market_adjustment.AbsenceReason,
    ) -> FightPrediction:
        """Complete a prediction; `reason` is given if there is no market-aware probability."""
        return cls(
            **dict(zip(_UNPRICED_FIELDS, _unpriced_values(prediction), strict=True)),
            fighter_a=pair[0],
            fighter_b=pair[1],
            market_aware=market_aware,
            market_aware_reason=None if market_aware else reason,
        )


_UNPRICED_FIELDS = tuple(field.name for field in fields(UnpricedPrediction))
_unpriced_values = attrgetter(*_UNPRICED_FIELDS)
