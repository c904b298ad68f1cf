"""Forecast evaluation metrics: log loss, Brier score, calibration, coverage and betting rules of a backtest.

If any fights have closing odds, only these are scored, so that every forecast is compared with the market on the same
fights. The coverage of intervals is measured with the closing logit, recalibrated on earlier fights: the best available
proxy of a fight's true probability. It is the share of closes inside, not of true probabilities.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from engine.errors import ValidationError
from engine.evaluation.betting_rules import BacktestRuleResult, backtest_rules, decimal_prices, evaluate_rule
from engine.evaluation.score_parts import IntervalCoverage, column, events, interval_coverage, minus_market
from engine.evaluation.served_scores import LaggingCost, ServedScore, lagging_costs, served_scores
from engine.evaluation.walk_forward import OUT_OF_FOLD, RATING_FORECASTS
from engine.intervals.half_widths import CLASS_EDGES, experience_class
from engine.statistics.scores import (
    CalibrationLine,
    Estimate,
    ReliabilityBin,
    calibration_line,
    log_losses,
    reliability_bins,
)
from engine.training.data_diagnostics import INTERVAL_FIGURES, market_band, market_band_name

SCORED_FORECASTS = ("market", "market_aware", "statistics_only", "cornerless", "ridge")
"""Forecasts that are scored, in the order of the report."""
LOGIT_EDGES = (0.4, 0.8, 1.2)
"""Edges of the classes of |logit|; as probabilities of the likelier fighter 60%, 69% and 77%."""
MIN_SCORED_FIGHTS = 50
_CLASS_NAMES = (
    *(
        "0" if low + 1 == high else f"{low} to {high - 1}"
        for low, high in zip((0, *CLASS_EDGES), CLASS_EDGES, strict=False)
    ),
    f"{CLASS_EDGES[-1]} or more",
    "unknown",
)


@dataclass(frozen=True, slots=True)
class ForecastScore:
    """Metrics of one forecast on the fights that have it; `minus_market` is the difference of the log loss."""

    forecast: str
    fights: int
    log_loss: float
    brier: float
    calibration: CalibrationLine
    minus_market: Estimate | None
    reliability: tuple[ReliabilityBin, ...]


SliceDimension = Literal[
    "all", "corner", "year", "logit", "experience", "market", "reanchored", "reanchored_year", "reanchored_market"
]


@dataclass(frozen=True, slots=True)
class WidthComparison:
    """Intervals at one level on the training fights, out of fold, and on the fights forecast, corner unknown.

    Attributes
    ----------
    level : float
        The level.
    out_of_fold_inside, out_of_fold_width : float
        Share of recalibrated closes inside and mean width, the mean over the models.
    forward_inside : Estimate or None
        Share of recalibrated closes of the fights forecast inside.
    forward_width : float
        Mean width on these.
    """

    level: float
    out_of_fold_inside: float
    out_of_fold_width: float
    forward_inside: Estimate | None
    forward_width: float


@dataclass(frozen=True, slots=True)
class EvaluationSlice:
    """Metrics on a subset of fights: the log loss of `statistics_only`, its difference from the market, coverage."""

    dimension: SliceDimension
    name: str
    fights: int
    log_loss: float
    minus_market: Estimate | None
    coverage: tuple[IntervalCoverage, ...]


@dataclass(frozen=True, slots=True)
class BacktestEvaluation:
    """All metrics of a backtest.

    Attributes
    ----------
    models : int
        Number of trained models.
    first_day, last_day : date
        Days of the first and the last scored fight.
    forecast_fights : int
        Decided fights in these days.
    scored_fights : int
        Those with odds, or all if none has any.
    events : int
        Number of their events.
    scores : tuple of ForecastScore
        Metrics by forecast.
    slices : tuple of EvaluationSlice
        Metrics by subset.
    both_sides_return : float or None
        Return of one unit on both sides of every fight at closing prices: the bookmakers' margin, whatever the
        forecasts.
    rules_tried : int
        Number of rules from which the best of `rules` was selected.
    rules : tuple of BacktestRuleResult
        Returns by rule.
    months : tuple of str
        Months of the bankrolls, as 2016-01.
    served : tuple of ServedScore
        The ensemble's answers by how they are served. `scores`, `slices` and `rules` are those of fresh states.
    lagging_costs : tuple of LaggingCost
        What states that are not updated cost.
    widths : tuple of WidthComparison
        Intervals out of fold compared with forward ones, by level; empty if the models have no such figures.
    baselines : tuple of ForecastScore
        Metrics of the rating filters alone.
    """

    models: int
    first_day: datetime.date
    last_day: datetime.date
    forecast_fights: int
    scored_fights: int
    events: int
    scores: tuple[ForecastScore, ...]
    slices: tuple[EvaluationSlice, ...]
    both_sides_return: float | None
    rules_tried: int
    rules: tuple[BacktestRuleResult, ...]
    months: tuple[str, ...]
    served: tuple[ServedScore, ...]
    lagging_costs: tuple[LaggingCost, ...]
    widths: tuple[WidthComparison, ...]
    baselines: tuple[ForecastScore, ...]


def evaluate_forecasts(forecasts: pd.DataFrame) -> BacktestEvaluation:
    """Score the forecasts of `engine.evaluation.walk_forward`.

    Raises
    ------
    ValidationError
        If there are fewer than MIN_SCORED_FIGHTS fights.
    """
    priced = forecasts["market"].notna()
    scored = (forecasts[priced] if priced.any() else forecasts).reset_index(drop=True)
    if len(scored) < MIN_SCORED_FIGHTS:
        raise ValidationError(
            f"{len(scored)} fights are too few to evaluate forecasts: at least {MIN_SCORED_FIGHTS} are needed"
        )
    dates = scored["date"].dt
    months = pd.period_range(scored["date"].min(), scored["date"].max(), freq="M")
    results = tuple(
        evaluate_rule(rule, scored, months)
        for prices in ("closing", "early")
        if np.isfinite(decimal_prices(scored, prices)).all(axis=1).any()
        for rule in backtest_rules(prices)
    )
    return BacktestEvaluation(
        models=forecasts["trained_before"].nunique(),
        first_day=dates.date.min(),
        last_day=dates.date.max(),
        forecast_fights=len(forecasts),
        scored_fights=len(scored),
        events=scored["event"].nunique(),
        scores=tuple(_score(name, scored) for name in SCORED_FORECASTS if scored[name].notna().any()),
        slices=tuple(_slices(scored)),
        both_sides_return=_both_sides(results),
        rules_tried=sum(result.forecast is not None for result in results),
        rules=results,
        months=tuple(map(str, months)),
        served=served_scores(scored),
        lagging_costs=tuple(lagging_costs(scored)),
        widths=_widths(scored),
        baselines=tuple(
            _score(name, scored) for name in RATING_FORECASTS if name in scored and scored[name].notna().any()
        ),
    )


def _both_sides(results: tuple[BacktestRuleResult, ...]) -> float | None:
    for result in results:
        if result.forecast is None and result.prices == "closing" and result.return_on_stake is not None:
            return result.return_on_stake.value
    return None


def _score(name: str, scored: pd.DataFrame) -> ForecastScore:
    rows = scored[scored[name].notna()]
    p, won, event = column(rows, name), rows["won"].to_numpy(), events(rows)
    return ForecastScore(
        forecast=name,
        fights=len(rows),
        log_loss=float(log_losses(p, won).mean()),
        brier=float(np.mean((p - won) ** 2)),
        calibration=calibration_line(p, won, event),
        minus_market=None if name == "market" else minus_market(name, rows),
        reliability=reliability_bins(p, won),
    )


def _slices(scored: pd.DataFrame) -> Iterator[EvaluationSlice]:
    yield _slice("all", "all", scored)
    yield _slice("corner", "taken as unknown", scored, "cornerless")
    year = scored["date"].dt.year.to_numpy()
    for value in np.unique(year):
        yield _slice("year", str(value), scored[year == value])
    p = column(scored, "statistics_only")
    band = np.digitize(np.abs(np.log(p) - np.log1p(-p)), LOGIT_EDGES)
    edges = (0.0, *LOGIT_EDGES)
    for value in np.unique(band):
        upper = f" to {LOGIT_EDGES[value]:g}" if value < len(LOGIT_EDGES) else " or more"
        yield _slice("logit", f"{edges[value]:g}{upper}", scored[band == value])
    group = experience_class(scored["experience"].to_numpy(np.int64))
    for value in np.unique(group):
        yield _slice("experience", _CLASS_NAMES[value], scored[group == value])
    bands = list(_market_bands(scored))
    for name, rows in bands:
        yield _slice("market", name, rows)
    if "reanchored" not in scored or scored["reanchored"].isna().any():
        return
    yield _slice("reanchored", "corner as it is known", scored, "reanchored")
    yield _slice("reanchored", "corner taken as unknown", scored, "reanchored_cornerless")
    for value in np.unique(year):
        yield _slice("reanchored_year", str(value), scored[year == value], "reanchored")
    for name, rows in bands:
        yield _slice("reanchored_market", name, rows, "reanchored")


def _market_bands(scored: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the name and the fights of each band of the market's favourite."""
    priced = scored[scored["market"].notna()]
    band = market_band(column(priced, "market"))
    for value in np.unique(band):
        yield market_band_name(int(value)), priced[band == value]


def _widths(scored: pd.DataFrame) -> tuple[WidthComparison, ...]:
    if not all(f"{OUT_OF_FOLD}{name}" in scored for name in INTERVAL_FIGURES):
        return ()
    models = scored.groupby("trained_before")[[f"{OUT_OF_FOLD}{name}" for name in INTERVAL_FIGURES]].first().mean()
    return tuple(
        WidthComparison(
            level=forward.level,
            out_of_fold_inside=float(models[f"{OUT_OF_FOLD}inside_{forward.level * 100:.0f}"]),
            out_of_fold_width=float(models[f"{OUT_OF_FOLD}width_{forward.level * 100:.0f}"]),
            forward_inside=forward.inside,
            forward_width=forward.width,
        )
        for forward in interval_coverage("cornerless", scored)
    )


def _slice(
    dimension: SliceDimension,
    name: str,
    rows: pd.DataFrame,
    forecast: str = "statistics_only",
) -> EvaluationSlice:
    return EvaluationSlice(
        dimension=dimension,
        name=name,
        fights=len(rows),
        log_loss=float(log_losses(column(rows, forecast), rows["won"].to_numpy()).mean()),
        minus_market=minus_market(forecast, rows),
        coverage=interval_coverage(forecast, rows),
    )
