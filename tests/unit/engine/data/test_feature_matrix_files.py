from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine.data.feature_matrix_columns import check_columns
from engine.data.feature_matrix_files import read_matrix, read_prediction_rows
from engine.errors import ValidationError


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
    assert [event[:4] for event in matrix.event] == ["a on", "a on", "b on"]  # type: ignore[attr-defined]
    assert matrix.red_odds[1:].tolist() == [2.0, 1.5]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"won": [1, 1, 1]}, "holds only 1: both outcomes are needed"),
        ({"won": [1, 2, 0]}, "column 'won' holds '2' in line 3: it must hold 0 and 1 only"),
        ({"day": ["2020-01-01", "soon", "2020-01-01"]}, "column 'day' holds 'soon' in line 3: this is not a date"),
        ({"day": ["2020-01-01", "2020-02-30", "2020-01-01"]}, "column 'day' holds '2020-02-30' in line 3"),
        ({"day": [20200201, 20200101, 20200101]}, "holds '20200201' in line 2 (3 such rows): this is a plain number"),
        ({"o1": [0.5, 2.0, 2.0]}, "column 'o1' holds '0.5' in line 2: decimal odds are above 1"),
        ({"o1": [-150, 130, 2.0]}, "column 'o1' holds '-150.0' in line 2 (2 such rows): these look American"),
        ({"o2": [2.5, "even", 1.8]}, "column 'o2' holds 'even' in line 3"),
        ({"night": ["b", None, "a"]}, "column 'night' holds 'nan' in line 3: fill in the event"),
        ({"red_x": ["a", "b", "c"]}, "columns must be numbers: ['red_x']"),
        ({"won": [1, 2, 0], "day": ["x", "y", "z"], "o1": [0, 0, 0]}, "3 faults: "),
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
    rows = read_prediction_rows(_matrix_file(tmp_path), ["blue_x", "red_x"], red_odds="o1", blue_odds="o2")
    assert list(rows.X.columns) == ["blue_x", "red_x"]
    assert rows.X["red_x"].tolist() == [1.0, 2.0, 3.0]
    assert rows.odds[[0, 2]].tolist() == [[1.5, 2.5], [2.0, 1.8]]
    assert np.isnan(rows.odds[1]).all()
    assert rows.unused == ("won", "night", "day")


def test_rows_to_answer_need_no_odds(tmp_path: Path) -> None:
    rows = read_prediction_rows(_matrix_file(tmp_path), ["red_x", "blue_x"], red_odds="absent", blue_odds="o2")
    assert np.isnan(rows.odds).all()
    assert rows.unused == ("won", "night", "day", "o1")


def test_rows_that_lack_features_name_them(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"lacks 2 of the model's features: \['red_y', 'blue_y'\]"):
        read_prediction_rows(_matrix_file(tmp_path), ["red_x", "blue_x", "red_y", "blue_y"])


@pytest.mark.parametrize(
    "days",
    [
        ["2020-01-27T22:00:00-05:00", "2020-01-27T23:59:00+09:00", "2020-01-27T22:00:00-04:00"],
        ["2020-01-27", "2020-01-27T22:00:00Z", "2020-01-27 22:00"],
        ["2020-01-27T22:00:00.000-0500", " 2020-01-27 ", "2020-01-27T00Z"],
    ],
)
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_the_day_of_a_moment_is_the_one_that_is_written(tmp_path: Path, days: list[str], suffix: str) -> None:
    path = _matrix_file(tmp_path, day=days)
    if suffix == ".parquet":
        frame, path = pd.read_csv(path), path.with_suffix(suffix)
        frame.to_parquet(path)
    assert set(_read(path).date.astype(str)) == {"2020-01-27"}  # type: ignore[attr-defined]


def test_a_typed_moment_keeps_its_own_day(tmp_path: Path) -> None:
    moments = pd.to_datetime(["2020-01-27T22:00:00-05:00"] * 3)
    frame = pd.read_csv(_matrix_file(tmp_path)).assign(day=moments)
    frame.to_parquet(tmp_path / "typed.parquet")
    assert set(_read(tmp_path / "typed.parquet").date.astype(str)) == {"2020-01-27"}  # type: ignore[attr-defined]


def fights(rows: int = 200, **columns: object) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"red_x": rng.normal(size=rows), "blue_x": rng.normal(size=rows)})
    return frame.assign(**columns)


WON = (np.arange(200) % 2).astype(float)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"r_age": 1.0, "b_age": 2.0}, "--pairs r_,b_"),
        (
            {"R_age": 1.0, "B_age": 2.0, "R_elo": 1.0, "B_elo": 2.0},
            "'R_age' and 'B_age' and 1 more pairs look like .* --pairs R_,B_",
        ),
        ({"RedAge": 1.0, "BlueAge": 2.0}, "--pairs Red,Blue"),
        ({"age_red": 1.0, "age_blue": 2.0}, "--pairs _red,_blue"),
        ({"fighter1_age": 1.0, "fighter2_age": 2.0}, "--pairs fighter1_,fighter2_"),
        ({"end_round": 1.0}, r"\['end_round'\] are named like values known only after a fight"),
        ({"Finish": 1.0}, r"\['Finish'\] are named like"),
        ({"total_fight_time_secs": 1.0}, "are named like"),
        ({"x": WON + 0.1}, r"reveal the winner almost perfectly .*'x' \(1.000\)"),
        ({"x": np.where(WON == 1.0, np.nan, 1.0)}, r"'x' \(1.000\)"),
        ({"red_y": WON, "blue_y": 1.0 - WON}, r"'red_y' \(1.000\)"),
        ({"red_y": np.arange(200.0), "blue_y": np.arange(200.0) - WON}, r"'red_y' \(1.000\)"),
    ],
)
def test_columns_that_mislead_are_refused_unless_they_are_named(columns: dict[str, object], said: str) -> None:
    X = fights(**columns)
    with pytest.raises(ValidationError, match=said):
        check_columns(X, WON)
    check_columns(X, WON, as_is=[name for name in columns if not name.startswith("blue_")])


@pytest.mark.parametrize(
    "columns",
    [
        {"red_wins": 1.0, "blue_wins": 2.0, "red_win_streak": 0.0, "blue_win_streak": 1.0},
        {"scheduled_rounds": 3.0, "title_bout": 0.0, "women": 1.0, "weight_limit": 155.0},
        {"diff_losses": 2.0, "rounds": 5.0, "rank": 1.0},
    ],
)
def test_columns_of_the_past_are_not_taken_for_the_outcome(columns: dict[str, object]) -> None:
    check_columns(fights(**columns), WON)


def test_pairs_are_read_as_the_two_sides(tmp_path: Path) -> None:
    frame = pd.read_csv(_matrix_file(tmp_path)).rename(columns={"red_x": "r_x", "blue_x": "b_x"})
    frame = frame.assign(age_red=[1.0, 2.0, 3.0], age_blue=[3.0, 2.0, 1.0])
    frame.to_csv(tmp_path / "pairs.csv", index=False)
    pairs = [("r_", "b_"), ("_red", "_blue")]
    matrix = read_matrix(
        tmp_path / "pairs.csv", label="won", event="night", date="day", red_odds="o1", blue_odds="o2", pairs=pairs
    )
    assert list(matrix.X.columns) == ["red_x", "blue_x", "red_age", "blue_age"]
    rows = read_prediction_rows(
        tmp_path / "pairs.csv", list(matrix.X.columns), red_odds="o1", blue_odds="o2", pairs=pairs
    )
    assert rows.X["red_age"].tolist() == [1.0, 2.0, 3.0]
    with pytest.raises(ValidationError, match="no column begins with 'q_'"):
        read_matrix(tmp_path / "pairs.csv", label="won", event="night", date="day", pairs=[("q_", "b_")])


def test_a_matrix_without_sides_is_refused_before_anything_is_fitted() -> None:
    with pytest.raises(ValidationError, match="nothing distinguishes the two fighters"):
        check_columns(pd.DataFrame({"rounds": np.ones(200)}), WON)


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({"won": [b"\xff", b"1", b"0"]}, "column 'won' holds"),
        ({"won": [[1], [0], [1]]}, "it must hold 0 and 1 only"),
        ({"day": [b"\xff"] * 3}, "this is not a date"),
        ({"o1": [{"a": 1}] * 3}, "column 'o1'"),
        ({"red_x": pd.Series([True, False, True])}, ""),
        ({"red_x": pd.array([1, None, 3], dtype="Int64")}, ""),
        ({"night": [b"\xff", b"a", b"b"]}, ""),
    ],
)
def test_cells_of_any_type_in_parquet_are_read_or_refused(tmp_path: Path, cells: dict[str, object], said: str) -> None:
    pd.read_csv(_matrix_file(tmp_path)).assign(**cells).to_parquet(tmp_path / "typed.parquet")
    if not said:
        assert len(_read(tmp_path / "typed.parquet").won) == 3  # type: ignore[attr-defined]
        return
    with pytest.raises(ValidationError, match=said):
        _read(tmp_path / "typed.parquet")
