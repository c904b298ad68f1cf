from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from engine.data.feature_matrix import MirrorPlan, check_features, mirror
from engine.errors import ValidationError


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
        MirrorPlan.from_columns(["red_age", "women"])


def test_a_repeated_column_is_named() -> None:
    with pytest.raises(ValidationError, match=r"duplicate columns \['women'\]"):
        MirrorPlan.from_columns(["women", "women"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X: X.iloc[:0], "X is empty: it has 0 rows and 4 columns"),
        (lambda X: X.drop(columns="women"), "missing ['women'], unexpected []"),
        (lambda X: X.assign(height=1.0), "missing [], unexpected ['height']"),
        (lambda X: X.assign(women=["a", "b"]), "columns must be numbers: ['women']"),
        (lambda X: X.assign(diff_elo=[1.0, np.inf]), "infinite values in ['diff_elo']"),
        (lambda X: X.assign(diff_elo=[1.0, 1e39]), "infinite values in ['diff_elo']"),
        (lambda X: X.assign(diff_elo=[1.0, 1.0j]), "columns must be numbers: ['diff_elo']"),
        (lambda X: pd.concat([X, X[["women"]]], axis=1), "duplicate columns: ['women']"),
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
