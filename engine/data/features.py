"""The feature matrix of a fight log: one row a fight, from the features of its two sides and the ratings.

`feature_rows` makes both training rows and serving rows; `engine.data.side_features` and `engine.data.rated_log`
describe why a row holds nothing of its fight's own result, statistics or odds.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.data.feature_matrix import TrainingMatrix, event_labels
from engine.data.fight_log import FightLog
from engine.data.fighter_state import FIELD_INDEX
from engine.data.rated_log import RATING_COLUMNS, RatedLog, rate_log
from engine.data.side_features import BASE_FEATURES, fill_biographies

CONTEXT_FEATURES = ("women", "title_bout", "scheduled_rounds", "weight_limit_lbs")
"""Features of the fight as a whole."""

FEATURE_COLUMNS = (
    *(f"red_{name}" for name in BASE_FEATURES),
    *(f"blue_{name}" for name in BASE_FEATURES),
    *(f"diff_{name}" for name in BASE_FEATURES),
    *RATING_COLUMNS,
    *CONTEXT_FEATURES,
)
"""Columns of every feature matrix that is built from a fight log, in order; `diff_` is red minus blue."""

_FEATURES_WITH_GAPS = (
    *("opp_elo", "slpm", "sapm", "str_acc", "str_def", "td15", "td_acc", "td_def", "td_abs15", "sub15", "kd15"),
    *("kd_abs15", "ctrl_share", "ctrl_abs_share", "last3_win", "last3_strdiff"),
)
_DIFFERENCES = tuple(f"diff_{name}" for name in BASE_FEATURES if name not in _FEATURES_WITH_GAPS)

MODEL_COLUMNS = (*_DIFFERENCES, "diff_rating", *CONTEXT_FEATURES)
"""Columns that a model of a fight log learns from: differences without gaps, the rating, and context.

A rate that one side lacks, because it is new, would be missing as a difference; the skill ratings take its place. Both
sides' own values change the log loss by less than its noise (`benchmarks/accuracy/feature_sets.py`) and triple the
number of columns.
"""

STATISTICS_COLUMNS = (*_DIFFERENCES, "diff_results_rating", *CONTEXT_FEATURES)
"""The same without anything learnt from past odds."""


def model_columns(*, past_odds: bool) -> tuple[str, ...]:
    """Return the columns of a model that learns from past closing odds, or of one that does not."""
    return MODEL_COLUMNS if past_odds else STATISTICS_COLUMNS


def feature_rows(
    red: NDArray[np.float64],
    blue: NDArray[np.float64],
    ratings: NDArray[np.float64],
    context: NDArray[np.float64],
    *,
    keep_gaps: bool = False,
) -> pd.DataFrame:
    """Return the rows of n fights, float64 with `FEATURE_COLUMNS`.

    Parameters
    ----------
    red, blue
        Base features of each side, with gaps, float64 (n, len(BASE_FEATURES)).
    ratings
        Logits of the rating filters, float64 (n, len(RATING_COLUMNS)).
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
    return pd.DataFrame(np.column_stack([red, blue, red - blue, ratings, context]), columns=list(FEATURE_COLUMNS))


def build_matrix(
    log: FightLog, *, decisive_only: bool = True, keep_gaps: bool = False, rated: RatedLog | None = None
) -> TrainingMatrix:
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
    rated
        The replay of `log`, if the caller has made it, which takes seconds.
    """
    fights, rated = log.fights, rated or rate_log(log)
    women, limit = rated.bouts.context.T
    context = np.column_stack([women, fights["title_bout"], fights["scheduled_rounds"], limit]).astype(np.float64)
    day = fights["date"].to_numpy().astype("datetime64[D]")
    matrix = TrainingMatrix(
        X=feature_rows(*rated.sides, rated.logits, context, keep_gaps=keep_gaps),
        won=np.where(log.is_label, log.announced_winners == "red", -1).astype(np.int8),
        event=event_labels(fights["event"].to_numpy(dtype=np.str_), day),
        date=day,
        red_odds=fights["red_decimal_odds"].to_numpy(np.float64),
        blue_odds=fights["blue_decimal_odds"].to_numpy(np.float64),
        corner_known=fights["corner_reliable"].to_numpy(np.bool_),
        experience=rated.before[:, :, FIELD_INDEX["fights"]].min(axis=1).astype(np.int64),
    )
    return matrix.take(matrix.won >= 0) if decisive_only else matrix
