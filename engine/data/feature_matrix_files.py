"""Feature matrices in files (CSV or Parquet), one row a fight, for training and for prediction.

Every column that is not named as something else is a feature. The official corner and the fighters' experience are
taken as unknown. Names of features are checked in `engine.data.feature_matrix_columns`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.data.data_faults import FaultCollector, TableSource
from engine.data.feature_matrix import MirrorPlan, TrainingMatrix, check_features, event_labels, format_names
from engine.data.feature_matrix_columns import Pairs, check_columns, rename_pairs
from engine.data.fight_log_tables import find_wrong_prices
from engine.data.frames import as_days, as_numbers, as_text, read_frame
from engine.errors import ValidationError


def read_matrix(
    path: Path,
    *,
    label: str,
    event: str,
    date: str,
    red_odds: str | None = None,
    blue_odds: str | None = None,
    pairs: Pairs = (),
    as_is: Sequence[str] = (),
) -> TrainingMatrix:
    """Read fights to train on, in any order; every column that is not named here is a feature.

    Parameters
    ----------
    path
        The file.
    label
        Column that is 1 if the red side won and 0 if blue won.
    event
        Column of the event's name.
    date
        Column of the day. The day of a time is the written one, whatever its offset.
    red_odds, blue_odds
        Columns of decimal closing odds, both or neither.
    pairs, as_is
        See `engine.data.feature_matrix_columns`.

    Raises
    ------
    ValidationError
        Naming the file and all faulty columns and lines.
    """
    frame = _read(path)
    named = [name for name in (label, event, date, red_odds, blue_odds) if name is not None]
    missing = [name for name in named if name not in frame.columns]
    if missing:
        raise ValidationError(
            f"{path.name} has no column {format_names(missing)}; it has {format_names(list(frame.columns))}"
        )
    faults, source = FaultCollector(), TableSource(path.name, path)
    when = _days(frame[date], source, faults)
    faults.add_cells(source, frame[event], frame[event].isna(), "fill in the event")
    won = _labels(frame[label], source, faults)
    odds = _odds(frame, red_odds, blue_odds, source, faults)
    X = frame.drop(columns=named)
    try:
        X = rename_pairs(X, pairs)
        values = check_features(X)
        MirrorPlan.from_columns(list(X.columns))
        check_columns(X, won, as_is)
    except ValidationError as error:
        faults.add(source, str(error))
    faults.raise_if_any()
    order = np.argsort(when.to_numpy(), kind="stable")
    day = when.to_numpy()[order].astype("datetime64[D]")
    return TrainingMatrix(
        X=pd.DataFrame(values[order], columns=X.columns),
        won=won[order].astype(np.int8),
        event=event_labels(as_text(frame[event]).to_numpy(dtype=np.str_)[order], day),
        date=day,
        red_odds=odds[order, 0],
        blue_odds=odds[order, 1],
        corner_known=np.zeros(len(frame), dtype=np.bool_),
        experience=np.full(len(frame), -1, dtype=np.int64),
    )


@dataclass(frozen=True, slots=True, eq=False)
class MatrixRows:
    """Fights to predict.

    Attributes
    ----------
    X
        The model's features.
    odds
        Decimal odds, float64 (n, 2); NaN if unknown.
    unused
        Columns of the file that were not used.
    """

    X: pd.DataFrame
    odds: NDArray[np.float64]
    unused: tuple[str, ...]


def read_prediction_rows(
    path: Path,
    columns: Sequence[str],
    *,
    red_odds: str | None = None,
    blue_odds: str | None = None,
    pairs: Pairs = (),
) -> MatrixRows:
    """Read fights to predict: the features `columns`, and the odds if the file has both of their columns.

    Parameters
    ----------
    path
        The file.
    columns
        Features of the model.
    red_odds, blue_odds
        Columns of decimal odds.
    pairs
        As in training.

    Raises
    ------
    ValidationError
        Naming the file and the faulty columns.
    """
    read = _read(path)
    odds_columns = [name for name in (red_odds, blue_odds) if name in read.columns]
    features = rename_pairs(read.drop(columns=odds_columns), pairs, required=False)
    frame = features.join(read[odds_columns]) if odds_columns else features
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise ValidationError(f"{path.name} lacks {len(missing)} of the model's features: {format_names(missing)}")
    priced = red_odds in frame.columns and blue_odds in frame.columns
    X = frame[list(columns)]
    faults = FaultCollector()
    odds = np.full((len(frame), 2), np.nan)
    if priced:
        odds = _odds(frame, red_odds, blue_odds, TableSource(path.name, path), faults)
        faults.raise_if_any()
    return MatrixRows(
        X=pd.DataFrame(check_features(X), columns=X.columns),
        odds=odds,
        unused=tuple(str(name) for name in frame.columns if name not in {*columns, red_odds, blue_odds}),
    )


def _read(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise ValidationError(f"{path} is not a file: name a CSV or Parquet file with one row a fight")
    frame = read_frame(path).reset_index(drop=True)
    frame.columns = frame.columns.map(str)
    if frame.empty:
        raise ValidationError(f"{path.name} is empty: one row a fight is needed")
    return frame


def _days(values: pd.Series, source: TableSource, faults: FaultCollector) -> pd.Series:
    """Return days from days or times. A plain number is a fault: it would be read as nanoseconds since 1970."""
    if pd.api.types.is_numeric_dtype(values):
        faults.add_cells(
            source, values, np.ones(len(values), np.bool_), "this is a plain number: write days as YYYY-MM-DD"
        )
        return pd.Series(pd.NaT, index=values.index)
    when = as_days(values)
    faults.add_cells(source, values, when.isna(), "this is not a date: write days as YYYY-MM-DD")
    return when


def _labels(values: pd.Series, source: TableSource, faults: FaultCollector) -> NDArray[np.float64]:
    """Return 1.0 or 0.0, NaN for any other value."""
    numbers = as_numbers(values)
    known = numbers.isin([0, 1])
    if not faults.add_cells(source, values, ~known, "it must hold 0 and 1 only") and numbers.nunique() < 2:
        faults.add(source, f"column {values.name!r} holds only {values.iloc[0]}: both outcomes are needed")
    return numbers.where(known).to_numpy(np.float64)


def _odds(
    frame: pd.DataFrame, red: str | None, blue: str | None, source: TableSource, faults: FaultCollector
) -> NDArray[np.float64]:
    """Return decimal odds, float64 (n, 2).

    An invalid price is a fault: a typing error must not count as a missing price.
    """
    if red is None and blue is None:
        return np.full((len(frame), 2), np.nan)
    if red is None or blue is None:
        raise ValidationError(
            f"{source.name}: only one column of odds is named, {red or blue!r}: name both, or neither"
        )
    sides = []
    for name in (red, blue):
        values = as_numbers(frame[name])
        wrong, remedy = find_wrong_prices(values)
        bad = (frame[name].notna() & ~np.isfinite(values)) | wrong
        faults.add_cells(source, frame[name], bad, f"{remedy}; leave a missing price empty")
        sides.append(values.mask(bad))
    return np.column_stack(sides)
