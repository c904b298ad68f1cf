from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine.errors import ValidationError
from engine.matrix import MirrorPlan, check_features, mirror, read_matrix


@pytest.fixture
def rows() -> pd.DataFrame:
    sides = {"red_age": [30.0, 25.0], "blue_age": [28.0, np.nan]}
    return pd.DataFrame({**sides, "diff_elo": [12.5, -3.0], "women": [0.0, 1.0]})


def test_mirror_swaps_sides_negates_differences_and_leaves_context(rows: pd.DataFrame) -> None:
    mirrored = mirror(rows)
    assert mirrored["red_age"].tolist()[0] == 28.0
    assert np.isnan(mirrored["red_age"].tolist()[1])
    assert mirrored["blue_age"].tolist() == [30.0, 25.0]
    assert mirrored["diff_elo"].tolist() == [-12.5, 3.0]
    assert mirrored["women"].tolist() == [0.0, 1.0]
    pd.testing.assert_frame_equal(mirror(mirrored), rows)


def test_a_side_without_its_counterpart_is_named() -> None:
    with pytest.raises(ValidationError, match="'red_age' has no counterpart 'blue_age'"):
        MirrorPlan.of(["red_age", "women"])


def test_a_repeated_column_is_named() -> None:
    with pytest.raises(ValidationError, match=r"stand twice: \['women'\]"):
        MirrorPlan.of(["women", "women"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X: X.iloc[:0], "X is empty: it has 0 rows and 4 columns"),
        (lambda X: X.drop(columns="women"), "missing ['women'], unexpected []"),
        (lambda X: X.assign(height=1.0), "missing [], unexpected ['height']"),
        (lambda X: X.assign(women=["a", "b"]), "columns must be numbers: ['women']"),
        (lambda X: X.assign(diff_elo=[1.0, np.inf]), "infinite values in ['diff_elo']"),
        (lambda X: X.to_numpy(), "must be a pandas DataFrame"),
    ],
)
def test_bad_features_are_named(rows: pd.DataFrame, change: object, message: str) -> None:
    with pytest.raises(ValidationError) as error:
        check_features(change(rows), ["red_age", "blue_age", "diff_elo", "women"])  # type: ignore[operator]
    assert message in str(error.value)


def test_null_is_an_error_only_where_it_is_not_allowed(rows: pd.DataFrame) -> None:
    assert check_features(rows).shape == (2, 4)
    with pytest.raises(ValidationError, match=r"null values in \['blue_age'\]"):
        check_features(rows, allow_missing=False)


def test_columns_may_come_in_any_order(rows: pd.DataFrame) -> None:
    columns = list(rows.columns)
    np.testing.assert_array_equal(check_features(rows[columns[::-1]], columns), rows.to_numpy())


def _matrix_file(folder: Path, **changes: object) -> Path:
    frame = pd.DataFrame(
        {
            "won": [1, 0, 1],
            "night": ["b", "a", "a"],
            "day": ["2020-02-01", "2020-01-01", "2020-01-01"],
            "red_x": [1.0, 2.0, 3.0],
            "blue_x": [4.0, 5.0, None],
            "o1": [1.5, None, 2.0],
            "o2": [2.5, None, 1.8],
        }
    ).assign(**changes)
    path = folder / "train.csv"
    frame.to_csv(path, index=False)
    return path


def _read(path: Path) -> object:
    return read_matrix(path, label="won", event="night", date="day", red_odds="o1", blue_odds="o2")


def test_a_ready_matrix_is_read_in_order_of_date(tmp_path: Path) -> None:
    matrix = _read(_matrix_file(tmp_path))
    assert list(matrix.X.columns) == ["red_x", "blue_x"]  # type: ignore[attr-defined]
    assert matrix.won.tolist() == [0, 1, 1]  # type: ignore[attr-defined]
    assert matrix.event.tolist() == ["a", "a", "b"]  # type: ignore[attr-defined]
    assert matrix.red_odds[1:].tolist() == [2.0, 1.5]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"won": [1, 1, 1]}, "holds only 1: both outcomes are needed"),
        ({"won": [1, 2, 0]}, "must hold 0 and 1 only, not 2"),
        ({"day": ["2020-01-01", "soon", "2020-01-01"]}, "day is not a date in row 2"),
        ({"o1": [0.5, 2.0, 2.0]}, "'o1' must hold decimal odds above 1"),
        ({"red_x": ["a", "b", "c"]}, "columns must be numbers: ['red_x']"),
    ],
)
def test_a_bad_matrix_is_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError) as error:
        _read(_matrix_file(tmp_path, **changes))
    assert message in str(error.value)


def test_a_missing_file_and_a_missing_column_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"nowhere\.csv is not a file"):
        _read(tmp_path / "nowhere.csv")
    with pytest.raises(ValidationError, match=r"train\.csv has no column \['label'\]"):
        read_matrix(_matrix_file(tmp_path), label="label", event="night", date="day")
