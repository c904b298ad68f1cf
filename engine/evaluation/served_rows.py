"""Feature rows of past fights as a model served them whose fighters' states were not updated after its training.

A model answers from a snapshot of the fighters' states. Two ways to serve it are scored:

fresh       the states are updated after each event. A fight's row comes from the states up to the day before it, which
            are the rows of `engine.data.features.build_matrix`.
lagging     the states are those of the training. A fight's row comes from the snapshot of that day, and a fighter whom
            it does not know is a debutant of whom nothing is declared.

Lagging rows are made by `FighterSnapshot` itself, so what is scored is what is served.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.data.features import CONTEXT_FEATURES
from engine.data.fight_log import FightLog
from engine.data.fighter_snapshot import FighterSnapshot
from engine.errors import ValidationError
from engine.evaluation.walk_forward import FightSet, LaggingRows, Period
from engine.model.trained_ensemble import Ensemble


def snapshot_before(log: FightLog, day: date, *, keep_gaps: bool = False) -> FighterSnapshot:
    """Return the snapshot that a training on `day` stored: the states of those who had fought before.

    The fighters table of a log may name fighters of later fights, of whom a log of that day held nothing.

    Raises
    ------
    ValidationError
        If no fight is earlier.
    """
    fights = log.fights[log.fights["date"] < pd.Timestamp(day)]
    if fights.empty:
        raise ValidationError(f"no fight before {day} to train on: start on a later day")
    lines = log.stat_lines[log.stat_lines["fight_id"].isin(fights["fight_id"])]
    known = {*fights["red_id"], *fights["blue_id"]}
    then = FightLog(fights, lines, log.fighters[log.fighters["fighter_id"].isin(known)])
    return FighterSnapshot.from_log(then, keep_gaps=keep_gaps)


def with_lagging_rows(fight_set: FightSet, log: FightLog, periods: Iterable[Period]) -> FightSet:
    """Add the rows of the fights of each period as a model serves them that was trained at the start of the period.

    Parameters
    ----------
    fight_set
        The decided fights of `log`, with the context features.
    log
        The log.
    periods
        Periods of the refits. Fights in none of them have missing values.
    """
    lagging = _no_rows(fight_set)
    for period in periods:
        _fill(lagging, fight_set, log, snapshot_before(log, period.start), fight_set.rows_during(period))
    return replace(fight_set, lagging=lagging)


def with_rows_of_model(fight_set: FightSet, log: FightLog, ensemble: Ensemble, first_day: date) -> FightSet:
    """Add the rows of the fights from a day on as a model serves them that holds the state of its training.

    That is its own snapshot, unless that was updated by fights from `first_day` on: then the state is made again from
    the log.

    Parameters
    ----------
    fight_set
        The decided fights of `log`, with the context features.
    log
        The log.
    ensemble
        The model. One without a snapshot has no such rows.
    first_day
        First day of the fights, after the model's training data.
    """
    snapshot = ensemble.snapshot
    if snapshot is None:
        return fight_set
    if snapshot.data_cutoff >= first_day:
        snapshot = snapshot_before(log, ensemble.data_cutoff + timedelta(days=1), keep_gaps=snapshot.keep_gaps)
    lagging = _no_rows(fight_set)
    _fill(lagging, fight_set, log, snapshot, fight_set.fights.date >= np.datetime64(first_day))
    return replace(fight_set, lagging=lagging)


def _no_rows(fight_set: FightSet) -> LaggingRows:
    fights = len(fight_set.fights)
    X = pd.DataFrame(np.nan, index=range(fights), columns=fight_set.fights.X.columns)
    return LaggingRows(X, np.full(fights, -1, dtype=np.int64), np.full(fights, np.nan))


def _fill(
    lagging: LaggingRows, fight_set: FightSet, log: FightLog, snapshot: FighterSnapshot, rows: NDArray[np.bool_]
) -> None:
    fights = fight_set.fights.take(rows)
    decided = log.fights[log.is_label]
    ids = decided[["red_id", "blue_id"]].to_numpy(dtype=np.str_)[rows]
    X, experience = snapshot.fight_rows(ids, fights.date, fights.X[list(CONTEXT_FEATURES)].to_numpy(np.float64))
    lagging.X.loc[rows] = X[lagging.X.columns].to_numpy()
    lagging.experience[rows] = experience
    lagging.state_days[rows] = (fights.date - np.datetime64(snapshot.data_cutoff)).astype(np.float64)
