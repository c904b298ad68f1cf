"""Declared records: the bouts of fighters before their first fight of a log.

They are optional columns of the fighters table, and part of a request for a debutant. The rating filter reads them as
pseudo-results before that fight (`engine.ratings.declared_record`). All features of a fighter's record count fights of
the log only, as in models of logs without declared records.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.data.data_faults import FaultCollector, TableSource
from engine.data.fight_log_tables import DECLARED_COUNTS, MAX_DECLARED_BOUTS
from engine.ratings.declared_record import declared_prior
from engine.ratings.filter_kernels import DAYS_A_YEAR

RECORD_FIELDS = ("wins", "losses", "draws", "last_bout_day")
"""Fields of a declared record as float64, NaN if unknown. `last_bout_day` counts from 1970-01-01."""


def check_declared_records(
    fighters: pd.DataFrame, fights: pd.DataFrame | None, source: TableSource, faults: FaultCollector
) -> None:
    """Add impossible declared records to `faults`.

    Parameters
    ----------
    fighters, fights
        Tables as `clean_table` returns them; `fights` None to skip the check of days.
    source
        The source of the fighters table.
    faults
        Collects the faults.
    """
    if {fault.column for fault in faults.found} & {*DECLARED_COUNTS, "declared_last_bout"}:
        return  # a faulty cell is blank here, so what follows would find faults that are none
    counts = fighters[list(DECLARED_COUNTS)]
    wins, losses, last = counts["declared_wins"], counts["declared_losses"], fighters["declared_last_bout"]
    partial = (wins.isna() != losses.isna()) | ((counts.notna().any(axis=1) | last.notna()) & wins.isna())
    faults.add_cells(source, wins, partial, "a declared record needs both declared_wins and declared_losses")
    bouts = counts[["declared_wins", "declared_losses", "declared_draws"]].sum(axis=1)
    many = f"with its losses and draws that is more than {MAX_DECLARED_BOUTS} bouts: correct the counts"
    faults.add_cells(source, wins, bouts > MAX_DECLARED_BOUTS, many)
    for whole in ("wins", "losses"):
        finishes = counts[[f"declared_knock_out_{whole}", f"declared_submission_{whole}"]].sum(axis=1)
        total = counts[f"declared_{whole}"]
        more = f"declared_knock_out_{whole} and declared_submission_{whole} are more than that: correct the counts"
        faults.add_cells(source, total, finishes > total, more)
    if fights is not None:
        sides = [fights[["date", side]].set_axis(["date", "fighter"], axis=1) for side in ("red_id", "blue_id")]
        first = pd.concat(sides).groupby("fighter")["date"].min()
        late = last >= fighters["fighter_id"].map(first)
        cells = last.dt.strftime("%Y-%m-%d")
        remedy = "it is not before the fighter's first fight of this log: count only earlier bouts in declared_..."
        faults.add_cells(source, cells, late, remedy)


def declared_records(fighters: pd.DataFrame) -> NDArray[np.float64]:
    """Return the declared record of every fighter, float64 (fighters, len(RECORD_FIELDS)); wins are NaN without one."""
    last = fighters["declared_last_bout"].to_numpy().astype("datetime64[D]")
    return np.column_stack(
        [
            fighters["declared_wins"],
            fighters["declared_losses"],
            fighters["declared_draws"].fillna(0.0),
            np.where(np.isnat(last), np.nan, last.astype(np.float64)),
        ]
    ).astype(np.float64)


def debut_strengths(
    records: NDArray[np.float64], first_day: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean and the variance of each fighter's strength before his first fight, float64 (f,) each.

    Parameters
    ----------
    records
        Declared records, float64 (f, len(RECORD_FIELDS)).
    first_day
        Day of the first fight, in days since 1970-01-01, float64 (f,); NaN without any.
    """
    return declared_prior(records[:, :3], (first_day - records[:, 3]) / DAYS_A_YEAR)
