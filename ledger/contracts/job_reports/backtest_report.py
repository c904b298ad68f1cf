"""The report of a backtest: scores of walk-forward forecasts of past fights.

Intervals around figures are 95% and event-clustered (for the share of a reliability bin, Wilson's); their ends are
absent if there is too little data. A figure that needs odds is absent if the fights have none.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from ledger.contracts.jobs import Share, StateKind, current_schema_version

Forecast = Literal["market", "market_aware", "early_market_aware", "statistics_only", "cornerless", "ridge"]
"""`statistics_only` is the ensemble without the fight's own odds. A model of a fight log has learnt from past fights'
odds, too; the name is from before that. `cornerless` is the same as if no official corner were known; `ridge` is a
baseline."""


class Estimate(Struct, frozen=True, kw_only=True):
    """A figure and the ends of its interval."""

    value: float
    lower: float | None
    upper: float | None


class CalibrationLine(Struct, frozen=True, kw_only=True):
    """Logistic regression of results on the forecast's logit, with event-clustered standard errors.

    Slope 1 and intercept 0 are perfect. The intercept is that of the first-listed fighter, in most logs the red corner.
    """

    slope: float
    slope_error: float
    intercept: float
    intercept_error: float


class ReliabilityBin(Struct, frozen=True, kw_only=True):
    """Fights whose likelier fighter has a probability in this range, and the share of those fighters that won."""

    from_probability: Share
    to_probability: Share
    fights: int
    forecast: Share
    won: Estimate


class ForecastScore(Struct, frozen=True, kw_only=True):
    """Scores of one forecast on the fights for which it exists. `minus_market`: difference of the log loss."""

    forecast: Forecast
    fights: int
    log_loss: float
    brier: float
    calibration: CalibrationLine
    minus_market: Estimate | None
    reliability: Annotated[tuple[ReliabilityBin, ...], Meta(max_length=20)]


class IntervalCoverage(Struct, frozen=True, kw_only=True):
    """Intervals at one level: share of recalibrated closing logits inside, and mean width as a probability."""

    level: float
    inside: Estimate | None
    width: float


class EvaluationSlice(Struct, frozen=True, kw_only=True):
    """A subset of the fights: the log loss of `statistics_only`, its difference from the market, and its intervals.

    `dimension` is what the subset was chosen by: `corner` is all fights predicted as if no corner were known, `logit`
    the size of the forecast's logit, `experience` the earlier fights of the less experienced fighter, `market` the
    market's probability of its favourite. `reanchored`, `reanchored_year` and `reanchored_market` are of a model whose
    half-widths and slope follow the closing odds after each event.
    """

    dimension: Literal[
        "all", "corner", "year", "logit", "experience", "market", "reanchored", "reanchored_year", "reanchored_market"
    ]
    name: str
    fights: int
    log_loss: float
    minus_market: Estimate | None
    coverage: Annotated[tuple[IntervalCoverage, ...], Meta(max_length=8)]


class WidthComparison(Struct, frozen=True, kw_only=True):
    """Intervals at one level on the models' training fights, out of fold, and on the fights forecast, corner unknown.

    `out_of_fold_inside` and `forward_inside` are shares of recalibrated closing odds inside.
    """

    level: float
    out_of_fold_inside: float
    out_of_fold_width: float
    forward_inside: Estimate | None
    forward_width: float


class BacktestRuleResult(Struct, frozen=True, kw_only=True):
    """Result of a betting rule with one unit a bet.

    `forecast` is null for bets on both sides of every fight. `fights` is the number with prices. `closing_line_value`:
    price times de-vigged closing probability, minus 1. `price_gain`: for bets at early prices, price over the same
    side's closing price, minus 1. `bankroll`: profit in units up to the end of each of the report's months.
    """

    name: str
    forecast: Forecast | None
    prices: Literal["closing", "early"]
    fights: int
    bets: int
    return_on_stake: Estimate | None
    closing_line_value: Estimate | None
    price_gain: Estimate | None
    bankroll: Annotated[tuple[float, ...], Meta(max_length=1200)]


class ServedScore(Struct, frozen=True, kw_only=True):
    """Scores of the ensemble's answers by how they are served.

    `state` is `fresh` if fighters' states are updated after each event, up to the day before each fight, and `lagging`
    if they are those of the last refit, where fighters whom they do not know are answered as debutants. `corner` is
    whether the caller names the official corner.
    """

    state: StateKind
    corner: Literal["known", "unknown"]
    fights: int
    log_loss: float
    brier: float
    minus_market: Estimate | None
    coverage: Annotated[tuple[IntervalCoverage, ...], Meta(max_length=8)]


class LaggingCost(Struct, frozen=True, kw_only=True):
    """What states that are not updated cost. `minus_fresh`: log loss of the lagging minus the fresh answer.

    `of` names the fights: all, those up to 180 days after the last fight of the state, later ones, and those with a
    fighter of whom the state knows no fight, but a fresh state does.
    """

    corner: Literal["known", "unknown"]
    of: Literal["all", "first_180_days", "later", "unknown_fighter"]
    fights: int
    fresh: float
    lagging: float
    minus_fresh: Estimate


class BaselineScore(Struct, frozen=True, kw_only=True):
    """Scores of a rating filter alone: `rating` has learnt from past odds and results, `results_rating` from results.

    Both are calibrated on their earlier forecasts and know the official corner if the data contain it.
    """

    forecast: Literal["rating", "results_rating"]
    fights: int
    log_loss: float
    brier: float
    calibration: CalibrationLine
    minus_market: Estimate | None


class BacktestReport(Struct, frozen=True, kw_only=True, tag_field="kind", tag="backtest_report"):
    """The report of a `Backtest`.

    Scored are the fights with closing odds, or all if none have. `both_sides_return` is the return of one unit on both
    sides of every fight at the close: the bookmakers' margin, which no forecast changes. `rules_tried` is the number of
    rules from which the best of `rules` would be picked.

    `scores`, `slices` and `rules` are of answers from fresh states. `served` has the answers from lagging ones too, and
    `lagging_costs` the difference. `baselines` are ratings alone. A feature matrix has neither states nor ratings.
    """

    schema_version: int = field(default_factory=current_schema_version)
    data_digest: str
    models: int
    first_day: date
    last_day: date
    forecast_fights: int
    scored_fights: int
    events: int
    scores: Annotated[tuple[ForecastScore, ...], Meta(max_length=8)]
    slices: Annotated[tuple[EvaluationSlice, ...], Meta(max_length=200)]
    both_sides_return: float | None
    rules_tried: int
    rules: Annotated[tuple[BacktestRuleResult, ...], Meta(max_length=64)]
    months: Annotated[tuple[str, ...], Meta(max_length=1200)]
    served: Annotated[tuple[ServedScore, ...], Meta(max_length=8)] = ()
    lagging_costs: Annotated[tuple[LaggingCost, ...], Meta(max_length=16)] = ()
    widths: Annotated[tuple[WidthComparison, ...], Meta(max_length=8)] = ()
    baselines: Annotated[tuple[BaselineScore, ...], Meta(max_length=8)] = ()
