"""Comparison of a challenger with the models it would replace and with the market, on fights that none was trained on.

Covers the metrics; `ledger.models.promotion_gate` decides from them. If any fights have closing odds, only these are
scored, so that every forecast is compared on the same fights. Intervals are event-clustered
(`engine.statistics.scores`). Scored is the answer that production serves for a fight of an odds feed, which has no
corners, from fresh states of the fighters or from those of each model's own snapshot, as production serves it
(`engine.evaluation.served_rows`). Its calibration slope goes through the origin, because the order of fighters in a
feed is arbitrary. The answers with the official corner are reported for the fights whose corners the log has, with
slope and intercept. A model without a snapshot is scored on the rows of the data in either case.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.arrays import Floats
from engine.data.feature_matrix import format_names
from engine.errors import ValidationError
from engine.evaluation.score_parts import column, events, minus_market
from engine.evaluation.served_scores import SERVED_FORECASTS, Corner, State
from engine.evaluation.walk_forward import FightSet, Period, bound_column, ensemble_forecasts, fight_columns
from engine.model.trained_ensemble import Ensemble
from engine.statistics.scores import (
    MIN_EVENTS,
    Estimate,
    calibration_line,
    calibration_slope,
    clustered_mean,
    clustered_share,
    clustered_upper_bound,
    log_losses,
    t_interval,
)

BASE_RATE = 0.5
"""The forecast without any information about a fight, if no corner is given."""
COVERAGE_LEVELS = (0.8, 0.95)
MIN_FIGHTS = 200
"""Fewer fights cannot distinguish two models by a difference that matters (docs/decisions.md)."""


@dataclass(frozen=True, slots=True)
class EvaluatedCoverage:
    """Coverage of the intervals at one level.

    Attributes
    ----------
    level : float
        The level.
    inside : Estimate or None
        Share of (recalibrated) closing odds inside.
    width : Estimate
        Mean width, as a probability.
    """

    level: float
    inside: Estimate | None
    width: Estimate


@dataclass(frozen=True, slots=True)
class EvaluatedForecast:
    """Metrics of one forecast.

    Attributes
    ----------
    forecast : str
        Role of the model, `market` or `base_rate`.
    log_loss, brier : Estimate
        Scores; lower is better.
    slope : Estimate or None
        Calibration slope; None if the forecast is the same for every fight.
    intercept : Estimate or None
        Calibration intercept; only with the official corner.
    coverage : tuple of EvaluatedCoverage
        Coverage by level; empty without intervals.
    """

    forecast: str
    log_loss: Estimate
    brier: Estimate
    slope: Estimate | None = None
    intercept: Estimate | None = None
    coverage: tuple[EvaluatedCoverage, ...] = ()


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Difference of scores, challenger minus another forecast, fight by fight; lower is better.

    Attributes
    ----------
    against : str
        The other forecast.
    log_loss, brier : Estimate
        Mean differences.
    most : float or None
        Upper bound of the true difference of the log loss: it is higher with probability `error` at most. None if there
        are too few events.
    """

    against: str
    log_loss: Estimate
    brier: Estimate
    most: float | None = None


@dataclass(frozen=True, slots=True)
class ServedForecast:
    """Log loss of a model's answers by how they are served.

    Attributes
    ----------
    forecast : str
        Role of the model.
    state, corner : str
        As in `engine.evaluation.served_scores.ServedScore`.
    log_loss : Estimate
        Log loss; lower is better.
    minus_market : Estimate or None
        Its difference from the market's.
    """

    forecast: str
    state: State
    corner: Corner
    log_loss: Estimate
    minus_market: Estimate | None


@dataclass(frozen=True, slots=True)
class ChallengerEvaluation:
    """All metrics of the comparison.

    Attributes
    ----------
    first_day, last_day : date
        Days of the first and the last scored fight.
    fights : int
        Number of scored fights.
    priced_fights : int
        Number of fights with odds.
    events : int
        Number of events.
    forecasts : tuple of EvaluatedForecast
        Metrics of the models, the market and the base rate.
    paired : tuple of PairedDifference
        Differences between the challenger and the others.
    corner_known : tuple of EvaluatedForecast
        The models' forecasts with the official corner, on the fights whose corners are known, if there are MIN_FIGHTS.
    served : tuple of ServedForecast
        The models' log losses by how their answers are served.
    recalibrated : bool
        Whether all closing odds used for coverage were recalibrated on earlier fights; the others are used as they are.
    """

    first_day: date
    last_day: date
    fights: int
    priced_fights: int
    events: int
    forecasts: tuple[EvaluatedForecast, ...]
    paired: tuple[PairedDifference, ...]
    corner_known: tuple[EvaluatedForecast, ...] = ()
    served: tuple[ServedForecast, ...] = ()
    recalibrated: bool = True


def first_unseen_day(*ensembles: Ensemble) -> date:
    """Return the day after the last day that any of these models has seen."""
    return max(ensemble.last_seen_day for ensemble in ensembles) + timedelta(days=1)


def forecast_unseen(ensemble: Ensemble, fight_set: FightSet, first_day: date) -> pd.DataFrame:
    """Return a model's forecasts of the fights from `first_day` on.

    The columns are those of `engine.evaluation.walk_forward` except for the baseline and `trained_before`.

    Raises
    ------
    ValidationError
        If the fights lack features of the model, or the model was trained on one of them.
    """
    if first_day <= ensemble.last_seen_day:
        raise ValidationError(
            f"a model trained on fights up to {ensemble.data_cutoff} (re-anchored up to {ensemble.last_seen_day}) "
            f"cannot be evaluated from {first_day} on"
        )
    last = fight_set.fights.date[-1].astype(date)
    later = fight_set.during(Period(first_day, last + timedelta(days=1)))
    own = select_columns(later, ensemble.columns)
    return pd.concat(
        [fight_columns(fight_set.fights.before(first_day), later), ensemble_forecasts(ensemble, own)], axis=1
    )


def select_columns(fight_set: FightSet, columns: tuple[str, ...]) -> FightSet:
    """Return the fights with these features only. Raises ValidationError naming those that are missing."""
    missing = [name for name in columns if name not in fight_set.fights.X.columns]
    if missing:
        raise ValidationError(
            f"the fights lack features of the model, {format_names(missing)}: evaluate it on data that has them"
        )
    return fight_set.select(columns)


def check_enough_fights(fight_set: FightSet, first_day: date) -> None:
    """Raise ValidationError for fewer than MIN_FIGHTS fights or MIN_EVENTS events; if any have odds, these count."""
    later = fight_set.fights.take(fight_set.fights.date >= np.datetime64(first_day))
    priced = np.isfinite(later.red_odds) & np.isfinite(later.blue_odds)
    scored = later.take(priced) if priced.any() else later
    fights, events = len(scored), len(np.unique(scored.event))
    if fights < MIN_FIGHTS or events < MIN_EVENTS:
        odds = " with odds" if priced.any() else ""
        raise ValidationError(
            f"{fights} decided fights{odds} of {events} events from {first_day} on are too few to compare: at least "
            f"{MIN_FIGHTS} of {MIN_EVENTS} events are needed"
        )


def evaluate_challenger(
    challenger: pd.DataFrame, incumbents: Mapping[str, pd.DataFrame], error: float, state: State = "fresh"
) -> ChallengerEvaluation:
    """Return the metrics of the models' forecasts of the same fights.

    Parameters
    ----------
    challenger
        Table of forecasts, as of `engine.evaluation.walk_forward`.
    incumbents
        Tables of the same fights, row by row, by role: `champion`, `anchor`, or none.
    error
        Error probability of the bounds `PairedDifference.most`.
    state
        The states from which production serves the answers. Those of a model without lagging ones are fresh.

    Raises
    ------
    ValidationError
        If the tables are about different fights.
    """
    same = ["date", "event", "won"]
    for name, table in incumbents.items():
        if not challenger[same].equals(table[same]):
            raise ValidationError(f"the forecasts of the challenger and the {name} are not of the same fights")
    priced = challenger["market"].notna().to_numpy()
    rows = priced if priced.any() else np.ones(len(challenger), dtype=np.bool_)
    tables = {"challenger": challenger[rows], **{name: table[rows] for name, table in incumbents.items()}}
    scored = tables["challenger"]
    won, event = scored["won"].to_numpy(), events(scored)
    production = {name: _served_column(table, state, "unknown") for name, table in tables.items()}
    predicted = {name: column(table, production[name]) for name, table in tables.items()}
    coverage = {name: tuple(_coverage(table, event, production[name])) for name, table in tables.items()}
    if priced.any():
        predicted["market"] = column(scored, "market")
    predicted["base_rate"] = np.full(len(scored), BASE_RATE)
    known = scored["corner_known"].to_numpy(np.bool_)
    enough = known.sum() >= MIN_FIGHTS
    return ChallengerEvaluation(
        first_day=scored["date"].min().date(),
        last_day=scored["date"].max().date(),
        fights=len(scored),
        priced_fights=int(priced.sum()),
        events=len(np.unique(event)),
        forecasts=tuple(_forecast(name, p, won, event, coverage.get(name, ())) for name, p in predicted.items()),
        paired=tuple(
            _paired(name, predicted["challenger"], p, won, event, error)
            for name, p in predicted.items()
            if name != "challenger"
        ),
        corner_known=tuple(
            _corner_known(name, table[known], _served_column(table, state, "known"))
            for name, table in tables.items()
            if enough
        ),
        served=tuple(
            ServedForecast(
                forecast=name,
                state=each,
                corner=corner,
                log_loss=clustered_mean(log_losses(column(table, served), won), event),
                minus_market=minus_market(served, table),
            )
            for name, table in tables.items()
            for (each, corner), served in SERVED_FORECASTS.items()
            if served in table
        ),
        recalibrated=bool(scored["recalibrated_market"].notna().all() or not priced.any()),
    )


def _forecast(
    name: str, p: Floats, won: NDArray[np.int8], event: NDArray[np.str_], coverage: tuple[EvaluatedCoverage, ...]
) -> EvaluatedForecast:
    return EvaluatedForecast(
        forecast=name,
        log_loss=clustered_mean(log_losses(p, won), event),
        brier=clustered_mean((p - won) ** 2, event),
        slope=calibration_slope(p, won, event) if np.any(p != BASE_RATE) else None,
        coverage=coverage,
    )


def _served_column(table: pd.DataFrame, state: State, corner: Corner) -> str:
    """Return the column of a model's answers; those of a model without lagging ones are fresh."""
    name = SERVED_FORECASTS[state, corner]
    return name if name in table else SERVED_FORECASTS["fresh", corner]


def _corner_known(name: str, table: pd.DataFrame, served: str) -> EvaluatedForecast:
    p, won, event = column(table, served), table["won"].to_numpy(), events(table)
    line, n_events = calibration_line(p, won, event), len(np.unique(event))
    return EvaluatedForecast(
        forecast=name,
        log_loss=clustered_mean(log_losses(p, won), event),
        brier=clustered_mean((p - won) ** 2, event),
        slope=t_interval(line.slope, line.slope_error, n_events),
        intercept=t_interval(line.intercept, line.intercept_error, n_events),
        coverage=tuple(_coverage(table, event, served)),
    )


def _paired(
    against: str, p: Floats, other: Floats, won: NDArray[np.int8], event: NDArray[np.str_], error: float
) -> PairedDifference:
    difference = log_losses(p, won) - log_losses(other, won)
    return PairedDifference(
        against=against,
        log_loss=clustered_mean(difference, event),
        brier=clustered_mean((p - won) ** 2 - (other - won) ** 2, event),
        most=clustered_upper_bound(difference, event, error),
    )


def _coverage(table: pd.DataFrame, event: NDArray[np.str_], forecast: str) -> Iterator[EvaluatedCoverage]:
    """Yield the coverage at each level; nothing for a model without intervals."""
    close = table["recalibrated_market"].fillna(table["market"]).to_numpy(np.float64)
    known = np.isfinite(close)
    for level in COVERAGE_LEVELS:
        lower, upper = (column(table, bound_column(forecast, side, level)) for side in ("lower", "upper"))
        if np.isfinite(lower).all():
            inside = (lower <= close) & (close <= upper)
            yield EvaluatedCoverage(
                level=level,
                inside=clustered_share(inside[known], event[known]) if known.any() else None,
                width=clustered_mean(upper - lower, event),
            )
