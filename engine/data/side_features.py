"""Features of one side of a fight, from a fighter's state and biography.

Training rows and serving rows come from the same function, `base_features`. Only the source of the states differs:
`engine.data.rated_log` takes them before each past fight, `engine.data.fighter_snapshot` after the last one. A fight's
own result and statistics, or anything later, therefore cannot be in its row.

Biographies are the exception: a log holds them as they are known today, and sources complete them for fighters who stay
in the sport. A row must therefore not reveal whose biography is unknown; `fill_biographies` ensures that.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.data.fighter_state import FIELD_INDEX, SKILL_FIELDS
from engine.ratings.filter_kernels import DAYS_A_YEAR

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
    "debut",
    "debut_age",
    "log_fights",
    "win_share",
    "ko_win_share",
    "sub_win_share",
    "decision_win_share",
    "streak",
    *SKILL_FIELDS,
)
"""Features of each side; `base_features` documents them."""

TYPICAL_DIFFERENCES = {
    "age": 5,
    "height_cm": 6.6,
    "reach_cm": 8.2,
    "southpaw": 0.55,
    "ufc_fights": 4.9,
    "ufc_wins": 3.3,
    "ufc_losses": 2.1,
    "win_streak": 1.5,
    "loss_streak": 0.8,
    "days_since": 340,
    "cage_min": 54,
    "title_bouts": 1.7,
    "ko_wins": 1.8,
    "sub_wins": 1.5,
    "ko_losses": 1.1,
    "elo": 71,
    "opp_elo": 50,
    "slpm": 2.9,
    "sapm": 2.2,
    "str_acc": 0.16,
    "str_def": 0.16,
    "td15": 2.9,
    "td_acc": 0.36,
    "td_def": 0.36,
    "td_abs15": 2.7,
    "sub15": 2.8,
    "kd15": 5.8,
    "kd_abs15": 2.2,
    "ctrl_share": 0.25,
    "ctrl_abs_share": 0.23,
    "last3_win": 0.36,
    "last3_strdiff": 4.3,
    "debut": 0.43,
    "debut_age": 2.4,
    "log_fights": 0.86,
    "win_share": 0.15,
    "ko_win_share": 0.17,
    "sub_win_share": 0.16,
    "decision_win_share": 0.19,
    "streak": 1.9,
    "strikes_offence": 0.24,
    "strikes_attempted_offence": 0.33,
    "takedowns_offence": 0.27,
    "takedowns_attempted_offence": 0.41,
    "knockdowns_offence": 0.03,
    "submissions_offence": 0.15,
    "control_offence": 0.44,
    "strike_accuracy_offence": 0.27,
    "takedown_accuracy_offence": 0.097,
    "strikes_vulnerability": 0.21,
    "strikes_attempted_vulnerability": 0.27,
    "takedowns_vulnerability": 0.22,
    "takedowns_attempted_vulnerability": 0.24,
    "knockdowns_vulnerability": 0.02,
    "submissions_vulnerability": 0.12,
    "control_vulnerability": 0.39,
    "strike_accuracy_vulnerability": 0.26,
    "takedown_accuracy_vulnerability": 0.23,
}
"""Standard deviation of the difference between two fighters, rounded; measured on fights of 2005 to 2015."""
MAX_SCALED_DIFFERENCE = 3.0


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
    debut = (total["fights"] == 0.0).astype(np.float64)
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
            "debut": debut,
            "debut_age": debut * np.nan_to_num((day - born) / DAYS_A_YEAR - TYPICAL_VALUES["age"]),
            "log_fights": np.log1p(total["fights"]),
            "win_share": (total["wins"] + 1.0) / (total["fights"] + 2.0),
            "ko_win_share": total["ko_wins"] / (total["fights"] + 2.0),
            "sub_win_share": total["sub_wins"] / (total["fights"] + 2.0),
            "decision_win_share": (total["wins"] - total["ko_wins"] - total["sub_wins"]) / (total["fights"] + 2.0),
            "streak": total["win_streak"] - total["loss_streak"],
            **{name: total[name] for name in SKILL_FIELDS},
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


def scaled_differences(red: NDArray[np.float64], blue: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return differences in units of typical ones, float64 (n, len(BASE_FEATURES)); 0 if unknown, odd under a swap.

    Parameters
    ----------
    red, blue
        Base features of each side, float64 (n, len(BASE_FEATURES)).
    """
    scale = np.array([TYPICAL_DIFFERENCES[name] for name in BASE_FEATURES])
    limit = MAX_SCALED_DIFFERENCE
    return np.asarray(np.clip(np.nan_to_num((red - blue) / scale), -limit, limit))


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
