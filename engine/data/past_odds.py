"""Presence of past closing odds in a fight log: a rating that learns from them is less exact where they are missing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.data.fight_log import FightLog

RECENT_DAYS = 365
RECENT_FIGHTS = 3
MIN_PRICED_SHARE = 0.5
"""With closing odds in a smaller share of the recent fights, past odds count as missing."""


def recent_priced_share(date: NDArray[np.datetime64], priced: NDArray[np.bool_], last_day: np.datetime64) -> float:
    """Return the share of the fights of the last `RECENT_DAYS` that have closing odds; NaN without any fight.

    Parameters
    ----------
    date
        Days of decided fights, datetime64 (n,).
    priced
        True for a fight with the odds of both fighters, bool (n,).
    last_day
        The end of the period.
    """
    recent = date > last_day - np.timedelta64(RECENT_DAYS, "D")
    return float(priced[recent].mean()) if recent.any() else float("nan")


@dataclass(frozen=True, slots=True, eq=False)
class PastOdds:
    """Where a log lacks recent closing odds; f fighters. Counted are fights that are labels.

    Attributes
    ----------
    priced_share
        Share of the fights of the log's last `RECENT_DAYS` that have closing odds; NaN without any fight.
    unpriced
        True for a fighter with a fight, and without odds in each of his last `RECENT_FIGHTS`, bool (f,).
    """

    priced_share: float
    unpriced: NDArray[np.bool_]

    @classmethod
    def from_log(cls, log: FightLog) -> PastOdds:
        """Return what a log lacks."""
        fights = log.fights[log.is_label]
        priced = fights["red_decimal_odds"].notna() & fights["blue_decimal_odds"].notna()
        share = recent_priced_share(
            fights["date"].to_numpy(), priced.to_numpy(dtype=np.bool_), np.datetime64(log.data_cutoff)
        )
        sides = pd.concat([pd.DataFrame({"fighter": fights[side], "priced": priced}) for side in ("red_id", "blue_id")])
        last = sides.sort_index(kind="stable").groupby("fighter").tail(RECENT_FIGHTS)  # the log's order is that of time
        unpriced = set(last.groupby("fighter")["priced"].any().loc[lambda known: ~known].index)
        return cls(share, log.fighters["fighter_id"].isin(unpriced).to_numpy(dtype=np.bool_))

    @property
    def is_missing(self) -> bool:
        """True if too few of the recent fights have odds."""
        return self.priced_share < MIN_PRICED_SHARE
