"""Features of a fight: one row from the states and biographies of its two fighters.

Training rows and serving rows come from the same two functions, `base_features` (one side) and `feature_rows` (both
sides and their differences). Only the source of the states differs: `build_matrix` takes them before each past fight,
`engine.data.fighter_snapshot` after the last one. A fight's own result and statistics, or anything later, therefore
cannot be in its row.

Biographies are the exception: a log holds them as they are known today, and sources complete them for fighters who stay
in the sport. A row must therefore not reveal whose biography is unknown; `fill_biographies` ensures that.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.data.feature_matrix import TrainingMatrix, event_labels
from engine.data.fight_log import FightLog
from engine.data.fighter_state import FIELD_INDEX, FightArrays, accumulate_states

DAYS_A_YEAR = 365.25
BIOGRAPHY_FIELDS = ("birth_day", "height_cm", "reach_cm", "southpaw")
"""Attributes that do not depend on fights; float64, NaN if unknown. `birth_day` counts from 1970-01-01."""

TYPICAL_VALUES = {"age": 30.0, "height_cm": 178.0, "southpaw": 0.0}
TYPICAL_REACH_CM = 4.0  # reach minus height
"""Values for both sides if neither is known: rounded means of UFC fighters. No difference depends on them."""

BASE_FEATURES = (
    "age",
    "height_cm",
    "reach_cm",
    "southpaw",
    "ufc_fights",
    "ufc_wins",
    "ufc_losses",
    "win_streak",
    "loss_streak",
    "days_since",
    "cage_min",
    "title_bouts",
    "ko_wins",
    "sub_wins",
    "ko_losses",
    "elo",
    "opp_elo",
    "slpm",
    "sapm",
    "str_acc",
    "str_def",
    "td15",
    "td_acc",
    "td_def",
    "td_abs15",
    "sub15",
    "kd15",
    "kd_abs15",
    "ctrl_share",
    "ctrl_abs_share",
    "last3_win",
    "last3_strdiff",
)
"""Features of each side; `base_features` documents them."""

CONTEXT_FEATURES = ("women", "title_bout", "scheduled_rounds", "weight_limit_lbs")
"""Features of the fight as a whole."""

FEATURE_COLUMNS = (
    *(f"red_{name}" for name in BASE_FEATURES),
    *(f"blue_{name}" for name in BASE_FEATURES),
    *(f"diff_{name}" for name in BASE_FEATURES),
    *CONTEXT_FEATURES,
)
"""Columns of every feature matrix that is built from a fight log, in order; `diff_` is red minus blue."""

MODEL_COLUMNS = (*(f"diff_{name}" for name in BASE_FEATURES), *CONTEXT_FEATURES)
"""Columns that a model of a fight log learns from: differences and context.

Both sides' own values change the log loss by less than its noise (`benchmarks/accuracy/feature_sets.py`) and triple the
number of columns.
"""


def biographies(fighters: pd.DataFrame) -> NDArray[np.float64]:
    """Return the biography of every fighter, float64 (fighters, len(BIOGRAPHY_FIELDS))."""
    born = fighters["date_of_birth"].to_numpy().astype("datetime64[D]")
    stance = fighters["stance"].str.lower()
    return np.column_stack(
        [
            np.where(np.isnat(born), np.nan, born.astype(np.float64)),
            fighters["height_cm"],
            fighters["reach_cm"],
            np.where(stance == "", np.nan, stance == "southpaw"),
        ]
    ).astype(np.float64)


def base_features(
    state: NDArray[np.float64], biography: NDArray[np.float64], day: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the base features of n fighters, float64 (n, len(BASE_FEATURES)).

    Rates are totals over totals, of earlier fights with stat lines, a minute (`slpm`, `sapm`) or a quarter of an hour
    (`..15`). Accuracies are landed over attempted; defences are the share of the opponents' attempts that failed. NaN
    if unknown or if nothing was attempted.

    Parameters
    ----------
    state
        States before the fight, float64 (n, fields) of `engine.data.fighter_state`.
    biography
        Biographies, float64 (n, len(BIOGRAPHY_FIELDS)).
    day
        Day of the fight, in days since 1970-01-01, (n,).
    """
    total = {name: state[:, position] for name, position in FIELD_INDEX.items()}
    born, height, reach, southpaw = biography.T
    scores, rates = (
        np.column_stack([total[f"{name}_{back}"] for back in (1, 2, 3)]) for name in ("score", "strike_rate")
    )
    minutes, quarters = total["stat_seconds"] / 60.0, total["stat_seconds"] / 900.0
    control = total["control_known_seconds"]
    with np.errstate(divide="ignore", invalid="ignore"):  # 0 / 0 = NaN means unknown, as wanted
        features = {
            "age": (day - born) / DAYS_A_YEAR,
            "height_cm": height,
            "reach_cm": reach,
            "southpaw": southpaw,
            "ufc_fights": total["fights"],
            "ufc_wins": total["wins"],
            "ufc_losses": total["losses"],
            "win_streak": total["win_streak"],
            "loss_streak": total["loss_streak"],
            "days_since": day - total["last_day"],
            "cage_min": minutes,
            "title_bouts": total["title_bouts"],
            "ko_wins": total["ko_wins"],
            "sub_wins": total["sub_wins"],
            "ko_losses": total["ko_losses"],
            "elo": total["elo"],
            "opp_elo": total["opponent_elo_sum"] / total["fights"],
            "slpm": total["strikes"] / minutes,
            "sapm": total["strikes_absorbed"] / minutes,
            "str_acc": total["strikes"] / total["strikes_attempted"],
            "str_def": 1.0 - total["strikes_absorbed"] / total["strikes_faced"],
            "td15": total["takedowns"] / quarters,
            "td_acc": total["takedowns"] / total["takedowns_attempted"],
            "td_def": 1.0 - total["takedowns_absorbed"] / total["takedowns_faced"],
            "td_abs15": total["takedowns_absorbed"] / quarters,
            "sub15": total["submission_attempts"] / quarters,
            "kd15": total["knockdowns"] / quarters,
            "kd_abs15": total["knockdowns_absorbed"] / quarters,
            "ctrl_share": total["control_seconds"] / control,
            "ctrl_abs_share": total["control_absorbed_seconds"] / control,
            "last3_win": _mean(scores),
            "last3_strdiff": _mean(rates),
        }
    return np.column_stack([features[name] for name in BASE_FEATURES])


def fill_biographies(
    red: NDArray[np.float64], blue: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return both sides' base features, float64 (n, len(BASE_FEATURES)), with all gaps in biographies filled.

    An unknown age, height or stance is taken from the opponent; an unknown reach exceeds the height by as much as the
    opponent's does. Differences are then 0, and that of the reaches equals that of the heights, whichever side is
    unknown, so they do not reveal whose biography is known. Swapping the arguments swaps the results, to the bit.

    Parameters
    ----------
    red, blue
        Base features of each side, float64 (n, len(BASE_FEATURES)).
    """
    filled = red.copy(), blue.copy()
    for name, typical in TYPICAL_VALUES.items():
        column = BASE_FEATURES.index(name)
        for side, (own, other) in zip(filled, ((red, blue), (blue, red)), strict=True):
            side[:, column] = _first_known(own[:, column], other[:, column], np.full(len(own), typical))
    height, reach = BASE_FEATURES.index("height_cm"), BASE_FEATURES.index("reach_cm")
    beyond = [side[:, reach] - side[:, height] for side in filled]
    for side, other in zip(filled, reversed(beyond), strict=True):
        excess = _first_known(other, np.full(len(other), TYPICAL_REACH_CM))
        side[:, reach] = _first_known(side[:, reach], side[:, height] + excess)
    return filled


def feature_rows(
    red: NDArray[np.float64], blue: NDArray[np.float64], context: NDArray[np.float64], *, keep_gaps: bool = False
) -> pd.DataFrame:
    """Return the rows of n fights, float64 with `FEATURE_COLUMNS`.

    Parameters
    ----------
    red, blue
        Base features of each side, float64 (n, len(BASE_FEATURES)).
    context
        Context features, float64 (n, len(CONTEXT_FEATURES)).
    keep_gaps
        Leave unknown biographies NaN, and the stance 0, for models that were trained on such rows.
    """
    if keep_gaps:
        stance = BASE_FEATURES.index("southpaw")
        red, blue = red.copy(), blue.copy()
        for side in (red, blue):
            side[:, stance] = np.nan_to_num(side[:, stance])
    else:
        red, blue = fill_biographies(red, blue)
    return pd.DataFrame(np.column_stack([red, blue, red - blue, context]), columns=list(FEATURE_COLUMNS))


def build_matrix(log: FightLog, *, decisive_only: bool = True, keep_gaps: bool = False) -> TrainingMatrix:
    """Return the fights of `log` with their features as they were known before the day of each fight.

    Rows are in order of (date, fight id).

    Parameters
    ----------
    log
        The fight log.
    decisive_only
        Leave out draws, no contests and fights that are `history_only`; otherwise they have `won` = -1.
    keep_gaps
        As in `feature_rows`.
    """
    fights = log.fights
    bouts = FightArrays.from_log(log)
    states, _ = accumulate_states(bouts, len(log.fighters))
    biography = biographies(log.fighters)
    red, blue = (base_features(states[:, side], biography[bouts.fighters[:, side]], bouts.day) for side in (0, 1))
    women, limit = bouts.context.T
    context = np.column_stack([women, fights["title_bout"], fights["scheduled_rounds"], limit]).astype(np.float64)
    day = fights["date"].to_numpy().astype("datetime64[D]")
    matrix = TrainingMatrix(
        X=feature_rows(red, blue, context, keep_gaps=keep_gaps),
        won=np.where(log.is_label, log.announced_winners == "red", -1).astype(np.int8),
        event=event_labels(fights["event"].to_numpy(dtype=np.str_), day),
        date=day,
        red_odds=fights["red_decimal_odds"].to_numpy(np.float64),
        blue_odds=fights["blue_decimal_odds"].to_numpy(np.float64),
        corner_known=fights["corner_reliable"].to_numpy(np.bool_),
        experience=states[:, :, FIELD_INDEX["fights"]].min(axis=1).astype(np.int64),
    )
    return matrix.take(matrix.won >= 0) if decisive_only else matrix


def _first_known(*choices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return, element by element, the first of several arrays that is not NaN."""
    found = choices[0]
    for choice in choices[1:]:
        found = np.where(np.isnan(found), choice, found)
    return found


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of the known values of every row, float64 (n,); NaN without any."""
    known = ~np.isnan(values)
    mean: NDArray[np.float64] = np.where(known, values, 0.0).sum(axis=1) / known.sum(axis=1)
    return mean
