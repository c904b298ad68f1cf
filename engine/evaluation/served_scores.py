"""Scores of the ensemble's answers by how they are served: fresh or lagging states, corner known or unknown.

`engine.evaluation.served_rows` defines the states. Production answers from fresh states if they are updated after each
event, and from lagging ones otherwise; it knows the corner if the caller names it, which an odds feed does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.evaluation.score_parts import (
    IntervalCoverage,
    column,
    interval_coverage,
    loss_difference,
    minus_market,
)
from engine.statistics.scores import Estimate, log_losses

State = Literal["fresh", "lagging"]
Corner = Literal["known", "unknown"]
Fights = Literal["all", "first_180_days", "later", "unknown_fighter"]

SERVED_FORECASTS: dict[tuple[State, Corner], str] = {
    ("fresh", "known"): "statistics_only",
    ("fresh", "unknown"): "cornerless",
    ("lagging", "known"): "lagging",
    ("lagging", "unknown"): "lagging_cornerless",
}
"""Columns of the forecasts, as `engine.evaluation.walk_forward` describes them."""
FIRST_DAYS = 180
"""Age of a state that divides the fights, in days since its last fight."""


@dataclass(frozen=True, slots=True)
class ServedScore:
    """Scores of the answers of one kind.

    Attributes
    ----------
    state, corner : str
        How they are served. Of a known corner, fights whose corner the log lacks are answered without it.
    fights : int
        Number of fights.
    log_loss, brier : float
        Scores; lower is better.
    minus_market : Estimate or None
        Difference of the log loss from the market's.
    coverage : tuple of IntervalCoverage
        Coverage of the intervals by level.
    """

    state: State
    corner: Corner
    fights: int
    log_loss: float
    brier: float
    minus_market: Estimate | None
    coverage: tuple[IntervalCoverage, ...]


@dataclass(frozen=True, slots=True)
class LaggingCost:
    """What states that were not updated cost.

    Attributes
    ----------
    corner : str
        Whether the corner is known.
    of : str
        The fights: all; those up to FIRST_DAYS days after the last fight of the state; later ones; and those with a
        fighter of whom the state knows no fight, but a fresh state does.
    fights : int
        Their number.
    fresh, lagging : float
        Log losses.
    minus_fresh : Estimate
        Log loss of the lagging minus the fresh answer, fight by fight.
    """

    corner: Corner
    of: Fights
    fights: int
    fresh: float
    lagging: float
    minus_fresh: Estimate


def served_scores(scored: pd.DataFrame) -> tuple[ServedScore, ...]:
    """Return the scores of every kind of answer that the forecasts have."""
    return tuple(
        _score(state, corner, name, scored) for (state, corner), name in SERVED_FORECASTS.items() if name in scored
    )


def lagging_costs(scored: pd.DataFrame) -> Iterator[LaggingCost]:
    """Yield the costs of lagging states, by corner and by fights; nothing if no lagging answers were made."""
    if "lagging" not in scored:
        return
    days = column(scored, "state_days")
    unknown = (column(scored, "lagging_experience") == 0) & (column(scored, "experience") > 0)
    masks: dict[Fights, NDArray[np.bool_]] = {
        "all": np.ones(len(scored), dtype=np.bool_),
        "first_180_days": days <= FIRST_DAYS,
        "later": days > FIRST_DAYS,
        "unknown_fighter": unknown,
    }
    corners: tuple[Corner, ...] = ("known", "unknown")
    for corner in corners:
        fresh, lagging = (SERVED_FORECASTS[state, corner] for state in ("fresh", "lagging"))
        for name, mask in masks.items():
            if mask.any():
                rows = scored[mask]
                yield LaggingCost(
                    corner=corner,
                    of=name,
                    fights=len(rows),
                    fresh=float(_losses(fresh, rows).mean()),
                    lagging=float(_losses(lagging, rows).mean()),
                    minus_fresh=loss_difference(rows, lagging, fresh),
                )


def _score(state: State, corner: Corner, name: str, scored: pd.DataFrame) -> ServedScore:
    return ServedScore(
        state=state,
        corner=corner,
        fights=len(scored),
        log_loss=float(_losses(name, scored).mean()),
        brier=float(np.mean((column(scored, name) - scored["won"].to_numpy()) ** 2)),
        minus_market=minus_market(name, scored),
        coverage=interval_coverage(name, scored),
    )


def _losses(name: str, rows: pd.DataFrame) -> NDArray[np.float64]:
    return log_losses(column(rows, name), rows["won"].to_numpy())
