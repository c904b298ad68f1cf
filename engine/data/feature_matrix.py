"""The feature matrix: one row a fight, and the convention by which the two sides of a row can be swapped.

Columns `red_x` and `blue_x` swap, `diff_x` changes sign, all others are context that a swap leaves unchanged. Inside
the engine `red` only means *listed first*; the official corner is a separate value, known for some fights.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.errors import ValidationError


@dataclass(frozen=True, slots=True, eq=False)
class TrainingMatrix:
    """Past fights to train on, n rows in order of date; every array has length n.

    Attributes
    ----------
    X
        Features by name, float64; NaN if missing.
    won
        1 if the first-listed (red) fighter won, 0 otherwise, int8.
    event
        Event labels, str, as from `event_labels`.
    date
        Days, datetime64[D].
    red_odds, blue_odds
        Decimal closing odds, NaN if unknown.
    corner_known
        True if `red` is the official red corner, bool.
    experience
        Earlier fights of the less experienced fighter, int64; -1 if unknown.
    """

    X: pd.DataFrame
    won: NDArray[np.int8]
    event: NDArray[np.str_]
    date: NDArray[np.datetime64]
    red_odds: NDArray[np.float64]
    blue_odds: NDArray[np.float64]
    corner_known: NDArray[np.bool_]
    experience: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.won)

    def before(self, cutoff: datetime.date) -> TrainingMatrix:
        """Return the fights strictly before `cutoff`."""
        return self.take(self.date < np.datetime64(cutoff))

    def select(self, columns: Sequence[str]) -> TrainingMatrix:
        """Return the same fights with these features only."""
        return replace(self, X=self.X[list(columns)])

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> TrainingMatrix:
        """Return the fights that a mask or an index array selects."""
        return TrainingMatrix(
            X=self.X.loc[rows].reset_index(drop=True)
            if rows.dtype == np.bool_
            else self.X.iloc[rows].reset_index(drop=True),
            won=self.won[rows],
            event=self.event[rows],
            date=self.date[rows],
            red_odds=self.red_odds[rows],
            blue_odds=self.blue_odds[rows],
            corner_known=self.corner_known[rows],
            experience=self.experience[rows],
        )


@dataclass(frozen=True, slots=True)
class MirrorPlan:
    """The source and the sign of each column when the two sides of a row are swapped.

    Attributes
    ----------
    source
        Column that each column's values come from, intp (columns,).
    sign
        1 or -1, float64 (columns,).
    """

    source: NDArray[np.intp]
    sign: NDArray[np.float64]

    @classmethod
    def from_columns(cls, columns: Sequence[str]) -> MirrorPlan:
        """Derive the plan from the column names. Raises ValidationError if a side's column lacks its counterpart."""
        index = {name: position for position, name in enumerate(columns)}
        if len(index) != len(columns):
            twice = sorted({name for name in columns if list(columns).count(name) > 1})
            raise ValidationError(f"duplicate columns {twice}: give each feature one name")
        source = np.arange(len(columns))
        sign = np.ones(len(columns))
        for name, position in index.items():
            for side, other in (("red_", "blue_"), ("blue_", "red_")):
                if name.startswith(side):
                    counterpart = other + name.removeprefix(side)
                    if counterpart not in index:
                        raise ValidationError(f"column {name!r} has no counterpart {counterpart!r}: add it")
                    source[position] = index[counterpart]
            if name.startswith("diff_"):
                sign[position] = -1.0
        return cls(source, sign)

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Swap the sides of every row of `values`, float64 (n, columns). NaN stays NaN."""
        return values[:, self.source] * self.sign


def mirror(X: pd.DataFrame) -> pd.DataFrame:
    """Return `X` with the two sides of every row swapped. Mirroring twice gives `X` back, to the bit."""
    plan = MirrorPlan.from_columns(list(X.columns))
    return pd.DataFrame(plan(X.to_numpy(np.float64)), columns=X.columns, index=X.index)


def check_features(
    X: pd.DataFrame, columns: Sequence[str] | None = None, *, allow_missing: bool = True
) -> NDArray[np.float64]:
    """Return the values of `X` as float64 (n, columns), in the order of `columns`.

    Parameters
    ----------
    X
        Features by name.
    columns
        Columns that X must have, in any order; by default its own.
    allow_missing
        False to reject missing values.

    Raises
    ------
    ValidationError
        Naming the columns, if X is no DataFrame, is empty, lacks columns or has unexpected ones, or has values that
        are not numbers, infinite, or missing without `allow_missing`.
    """
    if not isinstance(X, pd.DataFrame):
        raise ValidationError(f"X must be a pandas DataFrame with named columns, not {type(X).__name__}")
    if X.empty:
        raise ValidationError(f"X is empty: it has {len(X)} rows and {len(X.columns)} columns")
    if not X.columns.is_unique:
        raise ValidationError(f"duplicate columns: {format_names(list(X.columns[X.columns.duplicated()]))}")
    names = X.columns.tolist()  # once: pandas converts each name on access
    if columns is not None and names != list(columns):
        missing = [name for name in columns if name not in names]
        unexpected = [str(name) for name in names if name not in columns]
        if missing or unexpected:
            raise ValidationError(
                f"X does not have the model's columns: missing {format_names(missing)}, "
                f"unexpected {format_names(unexpected)}"
            )
        names = list(columns)
        X = X[names]
    kinds = X.dtypes.tolist()
    not_numeric = {
        kind
        for kind in set(kinds)  # mostly one: comparing the type of each column takes longer than all other checks
        if kind != np.float64 and (not pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_complex_dtype(kind))
    }
    if not_numeric:
        wrong = [str(name) for name, kind in zip(names, kinds, strict=True) if kind in not_numeric]
        raise ValidationError(f"columns must be numbers: {format_names(wrong)}")
    values = X.to_numpy(np.float64)
    check_finite(values, names)
    if not allow_missing:
        null = [str(name) for name, bad in zip(names, np.isnan(values).any(axis=0), strict=True) if bad]
        if null:
            raise ValidationError(f"X has null values in {format_names(null)}")
    return values


def check_finite(values: NDArray[np.float64], columns: Sequence[str]) -> None:
    """Raise ValidationError naming the columns of `values`, (n, columns), with infinite values; NaN is allowed."""
    # Trees compare in float32, in which larger values are infinite too.
    beyond = np.flatnonzero((np.abs(values) > np.finfo(np.float32).max).any(axis=0))
    infinite = [columns[column] for column in beyond.tolist()]
    if infinite:
        raise ValidationError(
            f"X has infinite values in {format_names(infinite)} (or beyond 3.4e38): leave a missing value empty"
        )


def event_labels(names: NDArray[np.str_], date: NDArray[np.datetime64]) -> NDArray[np.str_]:
    """Return a label for the event of each fight, (n,): its name and its day, because names are reused."""
    return np.char.add(np.char.add(names, " on "), np.datetime_as_string(date.astype("datetime64[D]")))


def event_blocks(matrix: TrainingMatrix, blocks: int) -> NDArray[np.int64]:
    """Return the block of each fight, (n,): whole events, in order of date, in blocks of about equal length."""
    _, first, member = np.unique(matrix.event, return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(first))  # events by first appearance, which is by date
    return np.asarray(order[member] * blocks // len(first), dtype=np.int64)


def matrix_digest(matrix: TrainingMatrix) -> str:
    """Return the SHA-256 of everything that training reads from `matrix`."""
    digest = hashlib.sha256("\0".join(matrix.X.columns).encode())
    for array in (
        matrix.X.to_numpy(np.float64),
        matrix.won,
        np.char.encode(matrix.event, "utf-8"),
        matrix.date.astype(np.int64),
        matrix.red_odds,
        matrix.blue_odds,
        matrix.corner_known,
        matrix.experience,
    ):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def format_names(names: Sequence[object], max_shown: int = 8) -> str:
    """Return names for a message, at most `max_shown` of them."""
    shown = ", ".join(repr(str(name)) for name in names[:max_shown])
    return f"[{shown}{', …' if len(names) > max_shown else ''}]"
