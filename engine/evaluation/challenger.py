"""A challenger beside the models that it would follow and the market, on fights that none has seen: the gate's figures.

Covers the figures; what follows from them is `ledger.models.promotion_gate`'s business. Scored are the fights with
closing odds, or all where none have, so that every forecast is compared on the same fights. Intervals are those of
`engine.statistics.scores`, event-clustered. Judged is what production answers to a fight of an odds feed, which names
no corner: statistics only, corner unknown. Its slope goes through the origin, because a feed lists fighters in any
order. The forecasts with the official corner, for the fights whose corners the log knows, are reported beside it, with
slope and intercept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.arrays import Floats
from engine.data.feature_matrix import TrainingMatrix, some_of
from engine.errors import ValidationError
from engine.evaluation.walk_forward import Period, Season, bound, ensemble_columns, records_of
from engine.model.trained_ensemble import Ensemble
from engine.statistics.scores import (
    MIN_EVENTS,
    Estimate,
    calibration_line,
    calibration_slope,
    clustered_bound,
    clustered_mean,
    clustered_share,
    interval_of,
    surprise,
)

JUDGED = "cornerless"
CORNER_KNOWN = "statistics_only"
BASE_RATE = 0.5
"""What a forecast is that knows nothing of a fight, where no corner is named."""
JUDGED_LEVELS = (0.8, 0.95)
MIN_FIGHTS = 200
"""Fewer tell two models apart in nothing that matters (docs/decisions.md)."""


@dataclass(frozen=True, slots=True)
class JudgedCoverage:
    """Intervals at one level. inside: share of (recalibrated) closing odds inside; width: mean, as a probability."""

    level: float
    inside: Estimate | None
    width: Estimate


@dataclass(frozen=True, slots=True)
class JudgedForecast:
    """One forecast. slope: None where it says the same of every fight. intercept: with the official corner only."""

    forecast: str
    log_loss: Estimate
    brier: Estimate
    slope: Estimate | None = None
    intercept: Estimate | None = None
    coverage: tuple[JudgedCoverage, ...] = ()


@dataclass(frozen=True, slots=True)
class Paired:
    """Challenger minus another forecast, fight by fight; lower is better.

    most: the log loss is higher by more than this with the probability `error` of the judgement at most, None for too
    few events.
    """

    against: str
    log_loss: Estimate
    brier: Estimate
    most: float | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """Every figure. fights: those that were scored.

    corner_known: the models' forecasts with the official corner, on the fights whose corners are known, if these are at
    least MIN_FIGHTS. recalibrated: whether all closing odds that intervals are held against could be recalibrated on
    earlier fights; those that could not stand as they are.
    """

    first_day: date
    last_day: date
    fights: int
    priced_fights: int
    events: int
    forecasts: tuple[JudgedForecast, ...]
    paired: tuple[Paired, ...]
    corner_known: tuple[JudgedForecast, ...] = ()
    recalibrated: bool = True


def first_unseen_day(*ensembles: Ensemble) -> date:
    """Return the day after the last one that any of these models has seen."""
    return max(ensemble.data_cutoff for ensemble in ensembles) + timedelta(days=1)


def forecast_unseen(ensemble: Ensemble, season: Season, first_day: date) -> pd.DataFrame:
    """Return what a model says of the fights from `first_day` on.

    The columns are those of `engine.evaluation.walk_forward`, but for the yardstick and `trained_before`. Raises
    ValidationError if the fights do not have the model's features, or it has seen one of them.
    """
    if first_day <= ensemble.data_cutoff:
        raise ValidationError(
            f"a model that has seen fights up to {ensemble.data_cutoff} is not judged from {first_day}"
        )
    last = season.fights.date[-1].astype(date)
    later = season.during(Period(first_day, last + timedelta(days=1)))
    asked = Season(with_columns(later.fights, ensemble.columns), later.early_odds)
    return pd.concat([records_of(season.fights.before(first_day), later), ensemble_columns(ensemble, asked)], axis=1)


def with_columns(fights: TrainingMatrix, columns: tuple[str, ...]) -> TrainingMatrix:
    """Return the fights with these features. Raises ValidationError naming those that are missing."""
    missing = [name for name in columns if name not in fights.X.columns]
    if missing:
        raise ValidationError(
            f"the fights lack features of the model, {some_of(missing)}: judge it on data that has them"
        )
    return fights.select(columns)


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


def judge(challenger: pd.DataFrame, incumbents: Mapping[str, pd.DataFrame], error: float) -> Judgement:
    """Return the figures of models' forecasts of the same fights.

    challenger, incumbents: tables of `engine.evaluation.walk_forward`, row by row the same fights; incumbents by role,
    `champion` and `anchor`, as far as there are any. error: of the bounds `Paired.most`. Raises ValidationError for
    tables of other fights.
    """
    same = ["date", "event", "won"]
    for name, table in incumbents.items():
        if not challenger[same].equals(table[same]):
            raise ValidationError(f"the challenger and the {name} were not asked about the same fights")
    priced = challenger["market"].notna().to_numpy()
    rows = priced if priced.any() else np.ones(len(challenger), dtype=np.bool_)
    tables = {"challenger": challenger[rows], **{name: table[rows] for name, table in incumbents.items()}}
    scored = tables["challenger"]
    won, event = scored["won"].to_numpy(), scored["event"].to_numpy(dtype=np.str_)
    said = {name: _column(table, JUDGED) for name, table in tables.items()}
    if priced.any():
        said["market"] = _column(scored, "market")
    said["base_rate"] = np.full(len(scored), BASE_RATE)
    known = scored["corner_known"].to_numpy(np.bool_)
    enough = known.sum() >= MIN_FIGHTS
    return Judgement(
        first_day=scored["date"].min().date(),
        last_day=scored["date"].max().date(),
        fights=len(scored),
        priced_fights=int(priced.sum()),
        events=len(np.unique(event)),
        forecasts=tuple(_forecast(name, p, won, event, tables.get(name)) for name, p in said.items()),
        paired=tuple(
            _paired(name, said["challenger"], p, won, event, error) for name, p in said.items() if name != "challenger"
        ),
        corner_known=tuple(_corner_known(name, table[known]) for name, table in tables.items() if enough),
        recalibrated=bool(scored["recalibrated_market"].notna().all() or not priced.any()),
    )


def _forecast(
    name: str, p: Floats, won: NDArray[np.int8], event: NDArray[np.str_], table: pd.DataFrame | None
) -> JudgedForecast:
    return JudgedForecast(
        forecast=name,
        log_loss=clustered_mean(surprise(p, won), event),
        brier=clustered_mean((p - won) ** 2, event),
        slope=calibration_slope(p, won, event) if np.any(p != BASE_RATE) else None,
        coverage=() if table is None else tuple(_coverage(table, event, JUDGED)),
    )


def _corner_known(name: str, table: pd.DataFrame) -> JudgedForecast:
    p, won, event = _column(table, CORNER_KNOWN), table["won"].to_numpy(), table["event"].to_numpy(dtype=np.str_)
    line, events = calibration_line(p, won, event), len(np.unique(event))
    return JudgedForecast(
        forecast=name,
        log_loss=clustered_mean(surprise(p, won), event),
        brier=clustered_mean((p - won) ** 2, event),
        slope=interval_of(line.slope, line.slope_error, events),
        intercept=interval_of(line.intercept, line.intercept_error, events),
        coverage=tuple(_coverage(table, event, CORNER_KNOWN)),
    )


def _paired(
    against: str, p: Floats, other: Floats, won: NDArray[np.int8], event: NDArray[np.str_], error: float
) -> Paired:
    difference = surprise(p, won) - surprise(other, won)
    return Paired(
        against=against,
        log_loss=clustered_mean(difference, event),
        brier=clustered_mean((p - won) ** 2 - (other - won) ** 2, event),
        most=clustered_bound(difference, event, error),
    )


def _coverage(table: pd.DataFrame, event: NDArray[np.str_], forecast: str) -> Iterator[JudgedCoverage]:
    """The intervals at each level; none of a model that has none."""
    close = table["recalibrated_market"].fillna(table["market"]).to_numpy(np.float64)
    known = np.isfinite(close)
    for level in JUDGED_LEVELS:
        lower, upper = (_column(table, bound(forecast, side, level)) for side in ("lower", "upper"))
        if np.isfinite(lower).all():
            inside = (lower <= close) & (close <= upper)
            yield JudgedCoverage(
                level=level,
                inside=clustered_share(inside[known], event[known]) if known.any() else None,
                width=clustered_mean(upper - lower, event),
            )


def _column(rows: pd.DataFrame, name: str) -> Floats:
    return rows[name].to_numpy(np.float64)
