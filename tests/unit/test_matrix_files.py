from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine.errors import ValidationError
from engine.matrix_files import read_matrix, read_rows


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
        ({"day": [20200201, 20200101, 20200101]}, "holds plain numbers such as 20200201"),
        ({"o1": [0.5, 2.0, 2.0]}, "'o1' must hold decimal odds above 1"),
        ({"o2": [2.5, "even", 1.8]}, "'o2' must hold decimal odds above 1, or nothing; row 1 has even"),
        ({"night": ["b", None, "a"]}, "night is empty in row 2"),
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


def test_one_column_of_odds_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="only one column of odds is named, 'o1'"):
        read_matrix(_matrix_file(tmp_path), label="won", event="night", date="day", red_odds="o1")


def test_rows_to_answer_keep_their_order_and_name_what_is_left_aside(tmp_path: Path) -> None:
    rows = read_rows(_matrix_file(tmp_path), ["blue_x", "red_x"], red_odds="o1", blue_odds="o2")
    assert list(rows.X.columns) == ["blue_x", "red_x"]
    assert rows.X["red_x"].tolist() == [1.0, 2.0, 3.0]
    assert rows.odds[[0, 2]].tolist() == [[1.5, 2.5], [2.0, 1.8]]
    assert np.isnan(rows.odds[1]).all()
    assert rows.unused == ("won", "night", "day")


def test_rows_to_answer_need_no_odds(tmp_path: Path) -> None:
    rows = read_rows(_matrix_file(tmp_path), ["red_x", "blue_x"], red_odds="absent", blue_odds="o2")
    assert np.isnan(rows.odds).all()
    assert rows.unused == ("won", "night", "day", "o1")


def test_rows_that_lack_features_name_them(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"lacks 2 of the model's features: \['red_y', 'blue_y'\]"):
        read_rows(_matrix_file(tmp_path), ["red_x", "blue_x", "red_y", "blue_y"])
