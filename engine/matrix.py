"""The feature matrix: one row a fight, and the convention by which its two sides can be swapped.

Columns `red_x` and `blue_x` swap, `diff_x` changes sign, all others are context that a swap leaves alone. Inside the
engine `red` only means *listed first*; the official corner is a separate value, known for some fights.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.errors import ValidationError


@dataclass(frozen=True, slots=True, eq=False)
class TrainingMatrix:
    """Past fights, ready to learn from; n rows, every array of length n, in order of date.

    X: float64 features by name, NaN where missing. won: int8, 1 where the first-listed (red) fighter won.
    event: str. date: datetime64[D]. red_odds, blue_odds: decimal closing odds, NaN where unknown.
    corner_known: bool, True where `red` is the official red corner. experience: earlier fights of the less
    experienced fighter, -1 where unknown.
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
    """Where each column goes, and with which sign, when the two sides of a row are swapped."""

    source: NDArray[np.intp]
    sign: NDArray[np.float64]

    @classmethod
    def of(cls, columns: Sequence[str]) -> MirrorPlan:
        """Read the plan off the column names. Raises ValidationError where a side lacks its counterpart."""
        index = {name: position for position, name in enumerate(columns)}
        if len(index) != len(columns):
            twice = sorted({name for name in columns if list(columns).count(name) > 1})
            raise ValidationError(f"columns stand twice: {twice}; give each feature one name")
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
    plan = MirrorPlan.of(list(X.columns))
    return pd.DataFrame(plan(X.to_numpy(np.float64)), columns=X.columns, index=X.index)


def check_features(
    X: pd.DataFrame, columns: Sequence[str] | None = None, *, allow_missing: bool = True
) -> NDArray[np.float64]:
    """Return the values of `X` as float64 (n, columns), in the order of `columns`, or say what is wrong with them.

    Raises ValidationError naming the columns: not a frame, empty, missing or unexpected columns, values that are not
    numbers, infinite values, and missing values unless `allow_missing`.
    """
    if not isinstance(X, pd.DataFrame):
        raise ValidationError(f"X must be a pandas DataFrame with named columns, not {type(X).__name__}")
    if X.empty:
        raise ValidationError(f"X is empty: it has {len(X)} rows and {len(X.columns)} columns")
    if columns is not None:
        missing = [name for name in columns if name not in X.columns]
        unexpected = [str(name) for name in X.columns if name not in set(columns)]
        if missing or unexpected:
            raise ValidationError(
                f"X does not have the model's columns: missing {_some(missing)}, unexpected {_some(unexpected)}"
            )
        X = X[list(columns)]
    wrong = [
        str(name)
        for name, kind in X.dtypes.items()
        if not (pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_bool_dtype(kind))
    ]
    if wrong:
        raise ValidationError(f"columns must be numbers: {_some(wrong)}")
    values = X.to_numpy(np.float64)
    infinite = [str(name) for name, bad in zip(X.columns, np.isinf(values).any(axis=0), strict=True) if bad]
    if infinite:
        raise ValidationError(f"X has infinite values in {_some(infinite)}: leave a missing value empty")
    if not allow_missing:
        null = [str(name) for name, bad in zip(X.columns, np.isnan(values).any(axis=0), strict=True) if bad]
        if null:
            raise ValidationError(f"X has null values in {_some(null)}")
    return values


def read_matrix(
    path: Path,
    *,
    label: str,
    event: str,
    date: str,
    red_odds: str | None = None,
    blue_odds: str | None = None,
) -> TrainingMatrix:
    """Read a ready feature matrix (CSV or Parquet): every column that is not named here is a feature.

    `label` is 1 where the red side won and 0 where blue won. The official corner and the
    fighters' experience are taken as unknown. Raises ValidationError naming the file and the column.
    """
    if not path.is_file():
        raise ValidationError(f"{path} is not a file: name a CSV or Parquet file with one row a fight")
    try:
        frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except (ValueError, OSError, pd.errors.ParserError) as error:
        raise ValidationError(f"{path.name} cannot be read: {error}") from error
    named = [name for name in (label, event, date, red_odds, blue_odds) if name is not None]
    missing = [name for name in named if name not in frame.columns]
    if missing:
        raise ValidationError(f"{path.name} has no column {_some(missing)}; it has {_some(list(frame.columns))}")
    when = pd.to_datetime(frame[date], errors="coerce")
    if when.isna().any():
        raise ValidationError(f"{path.name}: {date} is not a date in row {int(when.isna().argmax()) + 1}")
    frame = frame.iloc[np.argsort(when.to_numpy(), kind="stable")].reset_index(drop=True)
    X = frame.drop(columns=named)
    values = check_features(X)
    MirrorPlan.of(list(X.columns))
    rows = len(frame)
    return TrainingMatrix(
        X=pd.DataFrame(values, columns=X.columns),
        won=_labels(frame[label], path.name),
        event=frame[event].astype(str).to_numpy(dtype=np.str_),
        date=pd.to_datetime(frame[date]).to_numpy().astype("datetime64[D]"),
        red_odds=_odds(frame, red_odds, path.name),
        blue_odds=_odds(frame, blue_odds, path.name),
        corner_known=np.zeros(rows, dtype=np.bool_),
        experience=np.full(rows, -1, dtype=np.int64),
    )


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


def _labels(values: pd.Series, name: str) -> NDArray[np.int8]:
    if not values.isin([0, 1]).all():
        odd = values[~values.isin([0, 1])].iloc[0]
        raise ValidationError(f"{name}: column {values.name!r} must hold 0 and 1 only, not {odd}")
    if values.nunique() < 2:
        raise ValidationError(f"{name}: column {values.name!r} holds only {values.iloc[0]}: both outcomes are needed")
    return values.to_numpy(dtype=np.int8)


def _odds(frame: pd.DataFrame, column: str | None, name: str) -> NDArray[np.float64]:
    if column is None:
        return np.full(len(frame), np.nan)
    odds = pd.to_numeric(frame[column], errors="coerce").to_numpy(np.float64)
    if np.any(odds <= 1.0) or np.any(np.isinf(odds)):
        raise ValidationError(f"{name}: column {column!r} must hold decimal odds above 1, or nothing")
    return odds


def _some(names: Sequence[object], most: int = 8) -> str:
    shown = ", ".join(repr(str(name)) for name in names[:most])
    return f"[{shown}{', …' if len(names) > most else ''}]"
