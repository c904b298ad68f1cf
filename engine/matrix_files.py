"""Ready feature matrices in files (CSV or Parquet), one row a fight: to train on, and to answer.

Every column that is not named as something else is a feature. The official corner and the fighters' experience are
taken as unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.errors import ValidationError
from engine.matrix import MirrorPlan, TrainingMatrix, check_features, some_of


def read_matrix(
    path: Path,
    *,
    label: str,
    event: str,
    date: str,
    red_odds: str | None = None,
    blue_odds: str | None = None,
) -> TrainingMatrix:
    """Read fights to train on, in any order: every column that is not named here is a feature.

    `label` is 1 where the red side won and 0 where blue won; `red_odds` and `blue_odds` are decimal closing odds, both
    or neither. Raises ValidationError naming the file and the column.
    """
    frame = _read(path)
    named = [name for name in (label, event, date, red_odds, blue_odds) if name is not None]
    missing = [name for name in named if name not in frame.columns]
    if missing:
        raise ValidationError(f"{path.name} has no column {some_of(missing)}; it has {some_of(list(frame.columns))}")
    when = _dates(frame[date], path.name)
    if frame[event].isna().any():
        raise ValidationError(f"{path.name}: {event} is empty in row {int(frame[event].isna().argmax()) + 1}")
    order = np.argsort(when.to_numpy(), kind="stable")
    frame = frame.iloc[order].reset_index(drop=True)
    X = frame.drop(columns=named)
    values = check_features(X)
    MirrorPlan.of(list(X.columns))
    odds = _odds(frame, red_odds, blue_odds, path.name)
    return TrainingMatrix(
        X=pd.DataFrame(values, columns=X.columns),
        won=_labels(frame[label], path.name),
        event=frame[event].astype(str).to_numpy(dtype=np.str_),
        date=when.to_numpy()[order].astype("datetime64[D]"),
        red_odds=odds[:, 0],
        blue_odds=odds[:, 1],
        corner_known=np.zeros(len(frame), dtype=np.bool_),
        experience=np.full(len(frame), -1, dtype=np.int64),
    )


@dataclass(frozen=True, slots=True, eq=False)
class MatrixRows:
    """Fights to answer: the model's features, decimal odds (n, 2) with NaN where unknown, and what was left aside."""

    X: pd.DataFrame
    odds: NDArray[np.float64]
    unused: tuple[str, ...]


def read_rows(
    path: Path, columns: Sequence[str], *, red_odds: str | None = None, blue_odds: str | None = None
) -> MatrixRows:
    """Read fights to answer: the features `columns`, and the odds where the file has both columns.

    Other columns are left aside, and named in `unused`. Raises ValidationError naming the file and the columns.
    """
    frame = _read(path)
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise ValidationError(f"{path.name} lacks {len(missing)} of the model's features: {some_of(missing)}")
    priced = red_odds in frame.columns and blue_odds in frame.columns
    X = frame[list(columns)]
    return MatrixRows(
        X=pd.DataFrame(check_features(X), columns=X.columns),
        odds=_odds(frame, red_odds, blue_odds, path.name) if priced else np.full((len(frame), 2), np.nan),
        unused=tuple(str(name) for name in frame.columns if name not in {*columns, red_odds, blue_odds}),
    )


def _read(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise ValidationError(f"{path} is not a file: name a CSV or Parquet file with one row a fight")
    try:
        return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except (ValueError, OSError) as error:
        raise ValidationError(f"{path.name} cannot be read: {error}") from error


def _dates(values: pd.Series, name: str) -> pd.Series:
    """Read days written as YYYY-MM-DD, or a column of dates. A plain number would be read as nanoseconds since 1970."""
    if pd.api.types.is_numeric_dtype(values):
        raise ValidationError(
            f"{name}: column {values.name!r} holds plain numbers such as {values.iloc[0]}: write days as YYYY-MM-DD"
        )
    when = pd.to_datetime(values, errors="coerce", format="ISO8601")
    if when.isna().any():
        raise ValidationError(f"{name}: {values.name} is not a date in row {int(when.isna().argmax()) + 1}")
    return when


def _labels(values: pd.Series, name: str) -> NDArray[np.int8]:
    if not values.isin([0, 1]).all():
        odd = values[~values.isin([0, 1])].iloc[0]
        raise ValidationError(f"{name}: column {values.name!r} must hold 0 and 1 only, not {odd}")
    if values.nunique() < 2:
        raise ValidationError(f"{name}: column {values.name!r} holds only {values.iloc[0]}: both outcomes are needed")
    return values.to_numpy(dtype=np.int8)


def _odds(frame: pd.DataFrame, red: str | None, blue: str | None, name: str) -> NDArray[np.float64]:
    """Return decimal odds, float64 (n, 2). What is no price is an error: a typing error must not count as no price."""
    if red is None and blue is None:
        return np.full((len(frame), 2), np.nan)
    if red is None or blue is None:
        raise ValidationError(f"{name}: only one column of odds is named, {red or blue!r}: name both, or neither")
    odds = frame[[red, blue]].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    bad = (frame[[red, blue]].notna().to_numpy() & ~np.isfinite(odds)) | (odds <= 1.0)
    if bad.any():
        row, side = np.argwhere(bad)[0]
        column = (red, blue)[side]
        raise ValidationError(
            f"{name}: column {column!r} must hold decimal odds above 1, or nothing; row {row + 1} has "
            f"{frame[column].iloc[row]}"
        )
    return np.asarray(odds)
