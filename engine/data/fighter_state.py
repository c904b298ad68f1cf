"""A fighter's state on a day: a row of running totals and ratings, updated fight by fight.

`accumulate_states` goes through the fights in order of (date, fight id) and returns every fighter's state *before the
date* of each fight: fights of one day do not affect each other's states. Several fights of one fighter on one day
(tournaments of the 1990s) are counted in order of their ids, which need not be the true order.

Elo: every fighter starts at 1500 and moves by K * (score - expected), with K = 80 as long as one of the two has fewer
than three earlier fights and 50 afterwards, times 1.2 for a knock-out or submission. A draw scores 1/2; a no contest
changes nothing.

References
----------
A. Elo, The Rating of Chessplayers, 1978, with the provisional K of chess federations.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import isnan

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.data.fight_log import FightLog
from engine.data.fight_log_tables import WEIGHT_LIMITS_LBS
from engine.ratings.skill_ratings import MAX_WEIGHT, SKILLS, SkillObservations, run_skill_ratings

COUNTER_FIELDS = (
    "fights",
    "wins",
    "losses",
    "title_bouts",
    "ko_wins",
    "sub_wins",
    "ko_losses",
    "stat_seconds",
    "strikes",
    "strikes_attempted",
    "strikes_absorbed",
    "strikes_faced",
    "takedowns",
    "takedowns_attempted",
    "takedowns_absorbed",
    "takedowns_faced",
    "submission_attempts",
    "knockdowns",
    "knockdowns_absorbed",
    "control_known_seconds",
    "control_seconds",
    "control_absorbed_seconds",
)
"""Fields that a fight only adds to; those from `stat_seconds` on need the fight's stat lines."""

OTHER_FIELDS = (
    "elo",
    "opponent_elo_sum",
    "win_streak",
    "loss_streak",
    "last_day",
    "women",
    "weight_limit_lbs",
    "score_1",
    "score_2",
    "score_3",
    "strike_rate_1",
    "strike_rate_2",
    "strike_rate_3",
)
"""Fields with update rules of their own.

`last_day` counts from 1970-01-01. `score_1` is 1, 1/2 or 0 for the latest fight; `strike_rate_1` is significant strikes
landed minus absorbed a minute in the latest fight with stat lines.
"""

SKILL_FIELDS = (
    *(f"{name}_offence" for name in SKILLS),
    *(f"{name}_vulnerability" for name in SKILLS),
)
"""Ratings of single skills, in units of `engine.ratings.skill_ratings.SKILLS`; 0 is the mean of the weight class."""

FIELD_INDEX = {name: position for position, name in enumerate(COUNTER_FIELDS + OTHER_FIELDS + SKILL_FIELDS)}
"""Position of every field in a fighter's state; all are float64."""

INITIAL_ELO = 1500.0
PROVISIONAL_FIGHTS = 3
KNOCK_OUTS = ("KO/TKO", "TKO - Doctor's Stoppage")
FINISHES = (*KNOCK_OUTS, "Submission")
_SHORTEST_SECONDS = 15.0  # a rate over less time says little
_SKILL_COLUMNS = {
    "strikes": "significant_strikes_landed",
    "strikes_attempted": "significant_strikes_attempted",
    "takedowns": "takedowns_landed",
    "takedowns_attempted": "takedowns_attempted",
    "knockdowns": "knockdowns",
    "submissions": "submission_attempts",
    "control": "control_seconds",
}


_FIGHTS = FIELD_INDEX["fights"]
# The positions of OTHERS, in their order; of the latest three scores and strike rates, the first.
_ELO, _OPPONENTS, _WINS, _LOSSES, _DAY, _WOMEN, _LIMIT, _SCORES = range(
    len(COUNTER_FIELDS), len(COUNTER_FIELDS + OTHER_FIELDS) - 5
)
_RATES = _SCORES + 3
_SKILLS = len(COUNTER_FIELDS + OTHER_FIELDS)
_INITIALLY_UNKNOWN = [_DAY, _WOMEN, _LIMIT, *range(_SCORES, _SCORES + 3), *range(_RATES, _RATES + 3)]


@dataclass(frozen=True, slots=True, eq=False)
class FightArrays:
    """The fights of a log as arrays, side 0 being red and side 1 blue; n fights in order of (date, id).

    Attributes
    ----------
    fighters
        Positions in `log.fighters`, intp (n, 2).
    day
        Days since 1970-01-01, int64 (n,).
    score
        1 win, 1/2 draw or no contest, 0 loss, float64 (n, 2).
    k_factor
        Elo's K over 80 or 50, float64 (n,); 0 for a no contest.
    sums
        What the fight adds to the counters, float64 (n, 2, len(COUNTER_FIELDS)).
    context
        Women (0 or 1) and weight limit in pounds, float64 (n, 2).
    strike_rate
        Strikes landed minus absorbed a minute, float64 (n, 2); NaN without stat lines.
    skills
        Observations of the skill ratings.
    """

    fighters: NDArray[np.intp]
    day: NDArray[np.int64]
    score: NDArray[np.float64]
    k_factor: NDArray[np.float64]
    sums: NDArray[np.float64]
    context: NDArray[np.float64]
    strike_rate: NDArray[np.float64]
    skills: SkillObservations

    @classmethod
    def from_log(cls, log: FightLog) -> FightArrays:
        """Return the arrays of a log."""
        fights = log.fights
        ids = pd.Index(log.fighters["fighter_id"])
        winner = log.announced_winners.to_numpy()
        red_score = np.select([winner == "red", winner == "blue"], [1.0, 0.0], 0.5)
        score = np.column_stack([red_score, 1.0 - red_score])
        sums = np.stack([_counter_increments(log, side, score[:, side]) for side in (0, 1)], axis=1)
        seconds, strikes, absorbed = (
            sums[:, :, FIELD_INDEX[name]] for name in ("stat_seconds", "strikes", "strikes_absorbed")
        )
        finish = np.where(fights["method"].isin(FINISHES), 1.2, 1.0)
        limits = fights["weight_class"].map(WEIGHT_LIMITS_LBS).to_numpy(np.float64)
        with np.errstate(invalid="ignore"):  # 0 / 0 = NaN without stat lines, as wanted
            strike_rate = (strikes - absorbed) / (seconds / 60.0)
        fighters = np.column_stack([ids.get_indexer(fights["red_id"]), ids.get_indexer(fights["blue_id"])])
        day = fights["date"].to_numpy().astype("datetime64[D]").astype(np.int64)
        return cls(
            fighters=fighters,
            day=day,
            score=score,
            k_factor=np.where(winner == "nc", 0.0, finish),
            sums=sums,
            context=np.column_stack([fights["women"].to_numpy(np.float64), limits]),
            strike_rate=strike_rate,
            skills=_observe_skills(log, fighters, day),
        )


def initial_states(fighters: int) -> NDArray[np.float64]:
    """Return the states of fighters before their first fight, float64 (fighters, fields)."""
    state = np.zeros((fighters, len(FIELD_INDEX)))
    state[:, _ELO] = INITIAL_ELO
    state[:, _INITIALLY_UNKNOWN] = np.nan
    return state


def accumulate_states(bouts: FightArrays, fighters: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the states before every fight, float64 (n, 2, fields), and after the last, float64 (fighters, fields)."""
    state = initial_states(fighters)
    before = np.empty((len(bouts.day), 2, len(FIELD_INDEX)))
    new_days = np.flatnonzero(np.diff(bouts.day)) + 1
    for first, end in pairwise([0, *new_days.tolist(), len(bouts.day)]):
        before[first:end] = state[bouts.fighters[first:end]]
        for bout in range(first, end):
            _update(state, bouts, bout)
    before[:, :, _SKILLS:], state[:, _SKILLS:] = run_skill_ratings(bouts.skills, fighters)
    return before, state


def _update(state: NDArray[np.float64], bouts: FightArrays, bout: int) -> None:
    """Update the states of a fight's two fighters. Symmetric in the sides, to the bit."""
    pair = bouts.fighters[bout]
    elo = state[pair, _ELO].tolist()
    base = 80.0 if state[pair, _FIGHTS].min() < PROVISIONAL_FIGHTS else 50.0
    women, limit = bouts.context[bout]
    for side, fighter in enumerate(pair):
        row = state[fighter]
        score, rate = bouts.score[bout, side], bouts.strike_rate[bout, side]
        expected = 1.0 / (1.0 + 10.0 ** ((elo[1 - side] - elo[side]) / 400.0))
        row[: len(COUNTER_FIELDS)] += bouts.sums[bout, side]
        row[_ELO] += base * bouts.k_factor[bout] * (score - expected)
        row[_OPPONENTS] += elo[1 - side]
        row[_WINS] = row[_WINS] + 1.0 if score == 1.0 else 0.0
        row[_LOSSES] = row[_LOSSES] + 1.0 if score == 0.0 else 0.0
        row[_DAY] = bouts.day[bout]
        row[_WOMEN] = women
        if not isnan(limit):  # an agreed weight does not identify a weight class
            row[_LIMIT] = limit
        row[_SCORES + 1 : _SCORES + 3] = row[_SCORES : _SCORES + 2].copy()
        row[_SCORES] = score
        if not isnan(rate):
            row[_RATES + 1 : _RATES + 3] = row[_RATES : _RATES + 2].copy()
            row[_RATES] = rate


def _observe_skills(log: FightLog, fighters: NDArray[np.intp], day: NDArray[np.int64]) -> SkillObservations:
    """Return what both fighters of each fight did, as the skill ratings count it."""
    fights = log.fights
    by_fight = log.stat_lines.set_index(["fight_id", "fighter_id"])
    minutes = np.maximum(fights["end_time_seconds"].to_numpy(np.float64), _SHORTEST_SECONDS) / 60.0
    units = np.array([skill.unit for skill in SKILLS.values()])
    caps = np.array([skill.cap for skill in SKILLS.values()])
    values, weights = [], []
    for corner in ("red_id", "blue_id"):
        line = by_fight.reindex(pd.MultiIndex.from_arrays([fights["fight_id"], fights[corner]]))
        done = {name: line[column].to_numpy(np.float64) for name, column in _SKILL_COLUMNS.items()}
        with np.errstate(divide="ignore", invalid="ignore"):  # NaN if nothing was attempted, as wanted
            rates = {name: done[name] / minutes for name in _SKILL_COLUMNS} | {
                "control": done["control"] / (60.0 * minutes),
                "strike_accuracy": done["strikes"] / done["strikes_attempted"],
                "takedown_accuracy": done["takedowns"] / done["takedowns_attempted"],
            }
        weight = dict.fromkeys(SKILLS, minutes / 10.0) | {
            "strike_accuracy": done["strikes_attempted"] / 50.0,
            "takedown_accuracy": done["takedowns_attempted"] / 4.0,
        }
        values.append(np.minimum(np.column_stack([rates[name] for name in SKILLS]) / units, caps))
        weights.append(np.clip(np.nan_to_num(np.column_stack([weight[name] for name in SKILLS])), 0.0, MAX_WEIGHT))
    group = pd.factorize(fights["weight_class"] + fights["women"].astype(str))[0].astype(np.int64)
    return SkillObservations(fighters, day, group, np.stack(values, axis=1), np.stack(weights, axis=1))


def _counter_increments(log: FightLog, side: int, score: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what every fight adds to the fighter of `side`, float64 (n, counters); 0 for unknown statistics."""
    fights = log.fights
    method = fights["method"]
    seconds = fights["end_time_seconds"].to_numpy(np.float64)
    knock_out = method.isin(KNOCK_OUTS).to_numpy()
    corner, other = ("red_id", "blue_id") if side == 0 else ("blue_id", "red_id")
    by_fight = log.stat_lines.set_index(["fight_id", "fighter_id"])
    own, opposing = (
        by_fight.reindex(pd.MultiIndex.from_arrays([fights["fight_id"], fights[column]])) for column in (corner, other)
    )
    control, controlled = (lines["control_seconds"].to_numpy(np.float64) for lines in (own, opposing))
    control_known = ~np.isnan(control + controlled)
    added = {
        "fights": np.ones(len(fights)),
        "wins": score == 1.0,
        "losses": score == 0.0,
        "title_bouts": fights["title_bout"],
        "ko_wins": knock_out & (score == 1.0),
        "sub_wins": (method == "Submission").to_numpy() & (score == 1.0),
        "ko_losses": knock_out & (score == 0.0),
        "stat_seconds": np.where(own["knockdowns"].notna(), seconds, 0.0),
        "strikes": own["significant_strikes_landed"],
        "strikes_attempted": own["significant_strikes_attempted"],
        "strikes_absorbed": opposing["significant_strikes_landed"],
        "strikes_faced": opposing["significant_strikes_attempted"],
        "takedowns": own["takedowns_landed"],
        "takedowns_attempted": own["takedowns_attempted"],
        "takedowns_absorbed": opposing["takedowns_landed"],
        "takedowns_faced": opposing["takedowns_attempted"],
        "submission_attempts": own["submission_attempts"],
        "knockdowns": own["knockdowns"],
        "knockdowns_absorbed": opposing["knockdowns"],
        "control_known_seconds": np.where(control_known, seconds, 0.0),
        "control_seconds": np.where(control_known, control, 0.0),
        "control_absorbed_seconds": np.where(control_known, controlled, 0.0),
    }
    return np.nan_to_num(np.column_stack([np.asarray(added[name], dtype=np.float64) for name in COUNTER_FIELDS]))
