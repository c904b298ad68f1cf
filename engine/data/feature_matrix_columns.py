"""Checks of a feature matrix's columns: which belong to a fighter, and which reveal the result.

A column belongs to a side if its name begins with `red_` or `blue_` (`engine.data.feature_matrix`). Other pairs of
names, such as `r_age` and `b_age`, must be declared: otherwise a swap of the fighters leaves them unchanged and the
model cannot tell the fighters apart. A column that is known only after the fight makes a model that looks perfect in
training and is useless in the market.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.data.feature_matrix import format_names
from engine.errors import ValidationError

Pairs = Sequence[Sequence[str]]
"""Pairs of marks, red's first: ("r_", "b_") are prefixes of names, ("_red", "_blue") suffixes."""

MAX_PLAUSIBLE_AUC = 0.95  # closing odds, the best forecast known before a fight, reach 0.75
MIN_KNOWN_VALUES = 30
_SIDES = ("red_", "blue_", "diff_")
_BEGINNINGS = (
    *(("r_", "b_"), ("red.", "blue."), ("red-", "blue-"), ("red ", "blue "), ("red", "blue"), ("f1_", "f2_")),
    *(("fighter1_", "fighter2_"), ("fighter_1_", "fighter_2_"), ("fighter_a_", "fighter_b_"), ("a_", "b_")),
    *(("p1_", "p2_"), ("player1_", "player2_"), ("home_", "away_"), ("fav_", "dog_"), ("favourite_", "underdog_")),
    *(("favorite_", "underdog_"), ("left_", "right_"), ("fighter_", "opponent_"), ("own_", "opp_")),
)
_ENDINGS = (
    *(("_red", "_blue"), ("_r", "_b"), ("_1", "_2"), ("_a", "_b"), ("_f1", "_f2"), ("_fighter1", "_fighter2")),
    *(("_fighter_1", "_fighter_2"), ("_home", "_away"), ("_fighter", "_opponent"), (".red", ".blue")),
)
_OUTCOME = re.compile(
    r"winner|loser|won|win|lost|loss|result|outcome|victory|label|target|method|finish(ed)?|win_by|won_by|decision"
    r"|(end|ending|ended|finish|finished|final|last)_?(round|rnd|time|method|details?)(_.*)?"
    r"|(winning|win|victory)_(method|round|time|type)"
    r"|(total_)?(fight|bout|match)_?(time|duration|length)(_.*)?"
    r"|(judges?|scorecards?)(_.*)?|(bonus|performance_bonus|fight_of_the_night)"
)


def rename_pairs(X: pd.DataFrame, pairs: Pairs, *, required: bool = True) -> pd.DataFrame:
    """Return `X` with the columns of `pairs` named `red_...` and `blue_...`.

    Parameters
    ----------
    X
        Features by name.
    pairs
        The marks.
    required
        True to require that every mark occurs in a name.

    Raises
    ------
    ValidationError
        If a required mark does not occur, or two columns would have one name.
    """
    names = {}
    for marks in pairs:
        if len(marks) != 2 or not all(marks) or marks[0] == marks[1]:
            raise ValidationError(f"pairs {list(marks)} are not two different marks like r_,b_ or _red,_blue")
        for mark, side in zip(marks, ("red_", "blue_"), strict=True):
            found = {name: side + rest for name in X.columns if (rest := _without(name, mark))}
            if required and not found:
                where = "ends with" if mark.startswith(("_", ".")) else "begins with"
                raise ValidationError(
                    f"no column {where} {mark!r}, which pairs names: there are {format_names(list(X.columns))}"
                )
            names.update(found)
    result = X.rename(columns=names)
    if not result.columns.is_unique:
        twice = list(result.columns[result.columns.duplicated()])
        raise ValidationError(f"with the pairs renamed, there are duplicate columns: {format_names(twice)}")
    return result


def check_columns(X: pd.DataFrame, won: NDArray[np.float64], as_is: Sequence[str] = ()) -> None:
    """Raise ValidationError for columns that look like a fighter's but are not named so, or that reveal the result.

    Parameters
    ----------
    X
        Features by name, (n, f).
    won
        Results, (n,); NaN if unknown.
    as_is
        Columns that are not checked.
    """
    if unknown := [name for name in as_is if name not in X.columns]:
        raise ValidationError(
            f"the columns of --as-is, {format_names(unknown)}, are not among the features: leave them out"
        )
    open_names = [name for name in X.columns if name not in set(as_is)]
    messages = [*_undeclared_pairs(open_names), *_outcome_columns(open_names), *_separating_columns(X, open_names, won)]
    if not any(name.startswith(_SIDES) for name in X.columns):
        messages.append(
            f"no column of {format_names(list(X.columns))} is named red_, blue_ or diff_, "
            "so nothing distinguishes the two "
            "fighters: rename them, or give the marks of their names with --pairs"
        )
    if messages:
        raise ValidationError("; ".join(messages))


def _undeclared_pairs(names: Sequence[str]) -> list[str]:
    others = {name.casefold(): name for name in names if not name.startswith(_SIDES)}
    messages = []
    for first, second in (*_BEGINNINGS, *_ENDINGS):
        found = []
        for name in others:
            rest = name.removesuffix(first) if (first, second) in _ENDINGS else name.removeprefix(first)
            other = rest + second if (first, second) in _ENDINGS else second + rest
            if rest not in ("", name) and other in others:
                found.append((others[name], others[other]))
        if found:
            red, blue = found[0]
            length = len(first), len(second)
            marks = (
                (red[-length[0] :], blue[-length[1] :])
                if (first, second) in _ENDINGS
                else (red[: length[0]], blue[: length[1]])
            )
            more = f" and {len(found) - 1} more pairs" if len(found) > 1 else ""
            messages.append(
                f"columns {red!r} and {blue!r}{more} look like the two fighters', but are not read so: use "
                f"--pairs {','.join(marks)}, or --as-is {red} --as-is {blue} if a swap of the fighters changes neither"
            )
            for pair in found:
                for name in pair:
                    others.pop(name.casefold(), None)
    return messages


def _outcome_columns(names: Sequence[str]) -> list[str]:
    found = [name for name in names if _OUTCOME.fullmatch(_bare(name))]
    if not found:
        return []
    return [
        f"columns {format_names(found)} are named like values known only after a fight: "
        "leave them out, or name each with "
        "--as-is COLUMN if it is known before"
    ]


def _separating_columns(X: pd.DataFrame, names: Sequence[str], won: NDArray[np.float64]) -> list[str]:
    """Return messages about columns, or differences of sides, that separate wins from losses almost perfectly."""
    found = []
    for name in names:
        if name.startswith("blue_") and f"red_{name[5:]}" in X.columns:
            continue
        values = X[name].to_numpy(np.float64)
        other = f"blue_{name[4:]}" if name.startswith("red_") else ""
        variants = [values, np.isnan(values).astype(np.float64)]
        if other in X.columns:
            second = X[other].to_numpy(np.float64)
            variants += [values - second, second, np.isnan(second).astype(np.float64)]
        area = max(_auc(variant, won) for variant in variants)
        if area >= MAX_PLAUSIBLE_AUC:
            found.append((name, area))
    if not found:
        return []
    shown = ", ".join(f"{name!r} ({area:.3f})" for name, area in found[:8])
    return [
        f"columns reveal the winner almost perfectly (area under the ROC curve): {shown}; only values known after a "
        "fight do that: leave them out, or name each with --as-is COLUMN if it is known before"
    ]


def _auc(values: NDArray[np.float64], won: NDArray[np.float64]) -> float:
    """Return the area under the ROC curve of the known values, in the better direction; 0.5 if they are too few."""
    known = np.isfinite(values) & np.isfinite(won)
    values, positive = values[known], won[known] == 1.0
    wins, losses = int(positive.sum()), int((~positive).sum())
    if min(wins, losses) < 5 or wins + losses < MIN_KNOWN_VALUES:
        return 0.5
    area = (_ranks(values)[positive].sum() - wins * (wins + 1) / 2) / (wins * losses)
    return float(max(area, 1.0 - area))


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the ranks from 1 on; equal values share their mean rank.

    As `scipy.stats.rankdata`, which takes 50 MB to import.
    """
    _, position, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[position]


def _bare(name: str) -> str:
    """Return a name in lower case without the mark of a side."""
    bare = re.sub(r"[^a-z0-9]+", "_", name.casefold()).strip("_")
    return re.sub(r"^(red|blue|diff|r|b)_", "", bare)


def _without(name: str, mark: str) -> str:
    """Return a name without its mark, "" if it does not have it."""
    rest = name.removesuffix(mark) if mark.startswith(("_", ".")) else name.removeprefix(mark)
    return "" if rest == name else rest
