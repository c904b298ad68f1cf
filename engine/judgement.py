"""Two models beside each other and the market, on fights that neither has seen: the figures of the promotion gate.

Covers the figures; what follows from them is the business of whoever asks. Scored are the fights with closing odds, or
all where none have, so that every forecast is compared on the same fights. Intervals are those of `engine.scoring`,
event-clustered. The forecast that is judged is statistics-only with the official corner where the log knows it: the one
that decides on bets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from engine.errors import ValidationError
from engine.matrix import TrainingMatrix, some_of
from engine.member import Floats
from engine.model import Ensemble
from engine.scoring import (
    CONFIDENCE,
    MIN_EVENTS,
    Estimate,
    calibration_line,
    clustered_mean,
    clustered_share,
    surprise,
)
from engine.walk_forward import Period, Season, bound, ensemble_columns, walk_forward

JUDGED = "statistics_only"
JUDGED_LEVELS = (0.8, 0.95)
MIN_FIGHTS = 200
"""Fewer tell two models apart in nothing that matters (docs/decisions.md)."""


@dataclass(frozen=True, slots=True)
class JudgedCoverage:
    """Intervals at one level. inside: share of recalibrated closing logits inside; width: mean, as a probability."""

    level: float
    inside: Estimate | None
    width: Estimate


@dataclass(frozen=True, slots=True)
class JudgedForecast:
    """One forecast; slope and intercept are None where it says the same of every fight."""

    forecast: str
    log_loss: Estimate
    brier: Estimate
    slope: Estimate | None = None
    intercept: Estimate | None = None
    coverage: tuple[JudgedCoverage, ...] = ()


@dataclass(frozen=True, slots=True)
class Paired:
    """Challenger minus another forecast, fight by fight; lower is better."""

    against: str
    log_loss: Estimate
    brier: Estimate


@dataclass(frozen=True, slots=True)
class Judgement:
    """Every figure. fights: those that were scored."""

    first_day: date
    last_day: date
    fights: int
    priced_fights: int
    events: int
    forecasts: tuple[JudgedForecast, ...]
    paired: tuple[Paired, ...]


def first_unseen_day(*ensembles: Ensemble) -> date:
    """Return the day after the last one that any of these models has seen."""
    return max(ensemble.data_cutoff for ensemble in ensembles) + timedelta(days=1)


def forecast_unseen(ensemble: Ensemble, season: Season, first_day: date) -> pd.DataFrame:
    """Return what a model says of the fights from `first_day` on; the columns are those of `engine.walk_forward`.

    Raises ValidationError where the fights do not have its features, or it has seen one of them.
    """
    if first_day <= ensemble.data_cutoff:
        raise ValidationError(
            f"a model that has seen fights up to {ensemble.data_cutoff} is not judged from {first_day}"
        )
    last = season.fights.date[-1].astype(date)
    period = Period(first_day, last + timedelta(days=1))

    def forecast(_: TrainingMatrix, later: Season) -> pd.DataFrame:
        return ensemble_columns(ensemble, Season(with_columns(later.fights, ensemble.columns), later.early_odds))

    return walk_forward(season, [period], forecast)


def with_columns(fights: TrainingMatrix, columns: tuple[str, ...]) -> TrainingMatrix:
    """Return the fights with these features. Raises ValidationError naming those that are missing."""
    missing = [name for name in columns if name not in fights.X.columns]
    if missing:
        raise ValidationError(
            f"the fights lack features of the model, {some_of(missing)}: judge it on data that has them"
        )
    return fights.select(columns)


def base_rate(season: Season, first_day: date) -> float:
    """Return the share of first-listed fighters that won before a day, where the corner was known, or else 0.5."""
    past = season.fights.before(first_day)
    return float(past.won[past.corner_known].mean()) if past.corner_known.any() else 0.5


def check_enough(season: Season, first_day: date) -> None:
    """Raise ValidationError where too few fights, or events, are left to judge by: with odds, where any have them."""
    later = season.fights.take(season.fights.date >= np.datetime64(first_day))
    priced = np.isfinite(later.red_odds) & np.isfinite(later.blue_odds)
    scored = later.take(priced) if priced.any() else later
    fights, events = len(scored), len(np.unique(scored.event))
    if fights < MIN_FIGHTS or events < MIN_EVENTS:
        odds = " with odds" if priced.any() else ""
        raise ValidationError(
            f"{fights} decided fights{odds} of {events} events from {first_day} on are too few to judge by: at least "
            f"{MIN_FIGHTS} of {MIN_EVENTS} events are needed"
        )


def judge(challenger: pd.DataFrame, champion: pd.DataFrame | None, first_wins: float) -> Judgement:
    """Return the figures of two models' forecasts of the same fights.

    challenger, champion: tables of `engine.walk_forward`, row by row the same fights. first_wins: base rate of the
    first-listed fighter. Raises ValidationError for tables of other fights.
    """
    if champion is not None and not challenger[["date", "event", "won"]].equals(champion[["date", "event", "won"]]):
        raise ValidationError("the two models were not asked about the same fights")
    priced = challenger["market"].notna().to_numpy()
    rows = priced if priced.any() else np.ones(len(challenger), dtype=np.bool_)
    scored = challenger[rows]
    won, event = scored["won"].to_numpy(), scored["event"].to_numpy(dtype=np.str_)
    said = {"challenger": _column(scored, JUDGED)}
    if champion is not None:
        said["champion"] = _column(champion[rows], JUDGED)
    if priced.any():
        said["market"] = _column(scored, "market")
    said["base_rate"] = np.full(len(scored), first_wins)
    tables = {"challenger": scored} | ({} if champion is None else {"champion": champion[rows]})
    return Judgement(
        first_day=scored["date"].min().date(),
        last_day=scored["date"].max().date(),
        fights=len(scored),
        priced_fights=int(priced.sum()),
        events=len(np.unique(event)),
        forecasts=tuple(_forecast(name, p, won, event, tables.get(name)) for name, p in said.items()),
        paired=tuple(
            _paired(name, said["challenger"], p, won, event) for name, p in said.items() if name != "challenger"
        ),
    )


def _forecast(
    name: str, p: Floats, won: NDArray[np.int8], event: NDArray[np.str_], table: pd.DataFrame | None
) -> JudgedForecast:
    slope = intercept = None
    if name != "base_rate":
        line = calibration_line(p, won, event)
        events = len(np.unique(event))
        slope, intercept = (
            _interval(value, error, events)
            for value, error in ((line.slope, line.slope_error), (line.intercept, line.intercept_error))
        )
    return JudgedForecast(
        forecast=name,
        log_loss=clustered_mean(surprise(p, won), event),
        brier=clustered_mean((p - won) ** 2, event),
        slope=slope,
        intercept=intercept,
        coverage=() if table is None else tuple(_coverage(table, event)),
    )


def _paired(against: str, p: Floats, other: Floats, won: NDArray[np.int8], event: NDArray[np.str_]) -> Paired:
    return Paired(
        against=against,
        log_loss=clustered_mean(surprise(p, won) - surprise(other, won), event),
        brier=clustered_mean((p - won) ** 2 - (other - won) ** 2, event),
    )


def _coverage(table: pd.DataFrame, event: NDArray[np.str_]) -> Iterator[JudgedCoverage]:
    """The intervals at each level; none of a model that has none."""
    close = _column(table, "recalibrated_market")
    known = np.isfinite(close)
    for level in JUDGED_LEVELS:
        lower, upper = (_column(table, bound(JUDGED, side, level)) for side in ("lower", "upper"))
        if np.isfinite(lower).all():
            inside = (lower <= close) & (close <= upper)
            yield JudgedCoverage(
                level=level,
                inside=clustered_share(inside[known], event[known]) if known.any() else None,
                width=clustered_mean(upper - lower, event),
            )


def _interval(value: float, error: float, events: int) -> Estimate:
    if events < MIN_EVENTS:
        return Estimate(value, None, None)
    half = float(stdtrit(events - 1, 0.5 + CONFIDENCE / 2.0)) * error
    return Estimate(value, value - half, value + half)


def _column(rows: pd.DataFrame, name: str) -> Floats:
    return rows[name].to_numpy(np.float64)
