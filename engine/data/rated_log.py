"""The replay of a fight log: states, features and ratings before every fight, and after the last one.

Two rating filters run over the log (`engine.ratings.rating_filter`). `diff_rating` observes past closing odds and
results, `diff_results_rating` results alone, for logs without prices and for callers who want statistics only. Both are
log-odds of the first fighter with the corner unknown, from the state before the day of the fight.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engine.data.declared_records import debut_strengths, declared_records
from engine.data.fight_log import FightLog
from engine.data.fighter_state import FightArrays, accumulate_states
from engine.data.side_features import base_features, biographies, fill_biographies, scaled_differences
from engine.market.devigging import devig
from engine.ratings.rating_filter import RatedFights, Ratings, run_rating_filter

RATING_COLUMNS = ("diff_rating", "diff_results_rating")
"""Logits of the two filters: with past closing odds and results, and with results alone."""


@dataclass(frozen=True, slots=True, eq=False)
class RatedLog:
    """The replay of a log with n fights among f fighters, in order of (date, id).

    Attributes
    ----------
    bouts
        The fights.
    before
        States before the day of each fight, float64 (n, 2, fields).
    after
        States after the last fight, float64 (f, fields).
    sides
        Base features of the first and the second fighter before each fight, with gaps, float64 (n, features) each.
    fights
        What the filter with past odds observes.
    logits
        Logits of the filters before each fight, float64 (n, len(RATING_COLUMNS)).
    ratings
        What each filter has learnt after the last fight.
    """

    bouts: FightArrays
    before: NDArray[np.float64]
    after: NDArray[np.float64]
    sides: tuple[NDArray[np.float64], NDArray[np.float64]]
    fights: RatedFights
    logits: NDArray[np.float64]
    ratings: tuple[Ratings, ...]


def rate_log(log: FightLog) -> RatedLog:
    """Replay a fight log."""
    bouts = FightArrays.from_log(log)
    before, after = accumulate_states(bouts, len(log.fighters))
    biography = biographies(log.fighters)
    red, blue = (base_features(before[:, side], biography[bouts.fighters[:, side]], bouts.day) for side in (0, 1))
    prior = debut_strengths(declared_records(log.fighters), _first_days(bouts, len(log.fighters)))
    announced = log.announced_winners.to_numpy()
    with_odds = RatedFights(
        fighters=bouts.fighters,
        day=bouts.day,
        x=scaled_differences(*fill_biographies(red, blue)),
        corner=log.fights["corner_reliable"].to_numpy(np.float64),
        market=closing_logits(log.fights[["red_decimal_odds", "blue_decimal_odds"]].to_numpy(np.float64)),
        score=np.where(announced == "nc", np.nan, bouts.score[:, 0]),
    )
    results = replace(with_odds, market=np.full(len(bouts.day), np.nan))
    forecasts, ratings = zip(
        *(run_rating_filter(fights, len(log.fighters), prior=prior) for fights in (with_odds, results)), strict=True
    )
    return RatedLog(
        bouts=bouts,
        before=before,
        after=after,
        sides=(red, blue),
        fights=with_odds,
        logits=np.column_stack([forecast[:, 0] for forecast in forecasts]),
        ratings=ratings,
    )


def _first_days(bouts: FightArrays, fighters: int) -> NDArray[np.float64]:
    """Return the day of each fighter's first fight, float64 (f,), NaN without any."""
    first = np.full(fighters, np.nan)
    for side in (1, 0):
        np.fmin.at(first, bouts.fighters[:, side], bouts.day.astype(np.float64))
    return first


def closing_logits(odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the de-vigged (power method) logit of the first fighter, float64 (n,), NaN without odds.

    Parameters
    ----------
    odds
        Decimal closing odds of both fighters, float64 (n, 2), NaN if unknown.
    """
    logit = np.full(len(odds), np.nan)
    priced = np.isfinite(odds).all(axis=1)
    if priced.any():
        red = devig(odds[priced])[:, 0]
        logit[priced] = np.log(red / (1.0 - red))
    return logit
