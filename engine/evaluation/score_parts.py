"""Parts of the scores of a table of forecasts: columns, coverage of intervals, and differences from the market."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.arrays import Floats
from engine.evaluation.walk_forward import bound_column
from engine.statistics.scores import Estimate, clustered_mean, clustered_share, log_losses

SCORED_LEVELS = (0.8, 0.95)


@dataclass(frozen=True, slots=True)
class IntervalCoverage:
    """Coverage of the intervals at one level.

    Attributes
    ----------
    level : float
        The level.
    inside : Estimate or None
        Share of recalibrated closing logits inside.
    width : float
        Mean width, as a probability.
    """

    level: float
    inside: Estimate | None
    width: float


def interval_coverage(forecast: str, rows: pd.DataFrame) -> tuple[IntervalCoverage, ...]:
    """Return the coverage of a forecast's intervals at SCORED_LEVELS."""
    return tuple(_coverage(forecast, rows, level) for level in SCORED_LEVELS)


def _coverage(forecast: str, rows: pd.DataFrame, level: float) -> IntervalCoverage:
    lower, upper = (column(rows, bound_column(forecast, side, level)) for side in ("lower", "upper"))
    close = column(rows, "recalibrated_market")
    known = np.isfinite(close)
    inside = (lower <= close) & (close <= upper)
    return IntervalCoverage(
        level=level,
        inside=clustered_share(inside[known], events(rows)[known]) if known.any() else None,
        width=float(np.mean(upper - lower)),
    )


def minus_market(forecast: str, rows: pd.DataFrame) -> Estimate | None:
    """Return the difference of the log losses on the fights with odds; None if there are none."""
    rows = rows[rows["market"].notna()]
    return None if rows.empty else loss_difference(rows, forecast, "market")


def loss_difference(rows: pd.DataFrame, forecast: str, other: str) -> Estimate:
    """Return the mean log loss of a forecast minus that of another one, fight by fight."""
    won = rows["won"].to_numpy()
    return clustered_mean(log_losses(column(rows, forecast), won) - log_losses(column(rows, other), won), events(rows))


def column(rows: pd.DataFrame, name: str) -> Floats:
    """Return a column as float64 (n,)."""
    return rows[name].to_numpy(np.float64)


def events(rows: pd.DataFrame) -> NDArray[np.str_]:
    """Return the event of each fight, (n,)."""
    return rows["event"].to_numpy(dtype=np.str_)
