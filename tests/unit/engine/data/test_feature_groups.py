from __future__ import annotations

import numpy as np
import pytest

from engine.data.feature_groups import FEATURE_GROUPS, NEUTRAL_CONTEXT, OTHER, GroupedColumns, group_of
from engine.data.features import CONTEXT_FEATURES, FEATURE_COLUMNS


def test_every_column_of_a_fight_log_has_a_group() -> None:
    assert [column for column in FEATURE_COLUMNS if group_of(column) in (None, OTHER)] == []
    assert set(NEUTRAL_CONTEXT) == set(CONTEXT_FEATURES)


def test_no_feature_is_in_two_groups() -> None:
    features = [feature for group in FEATURE_GROUPS.values() for feature in group]
    assert len(features) == len(set(features))


@pytest.mark.parametrize(
    ("column", "group"),
    [
        ("diff_slpm", "striking"),
        ("red_slpm", "striking"),
        ("diff_knockdowns_vulnerability", "durability"),
        ("diff_knockdowns_offence", "striking"),
        ("diff_rating", "price_ratings"),
        ("diff_striking_power", "striking"),
        ("blue_age_and_size_shoulders", "age_and_size"),
        ("diff_unheard_of", "other"),
        ("women", "context"),
        ("venue", None),
        ("slpm", None),
    ],
)
def test_a_column_belongs_to_the_group_of_its_feature_or_the_one_in_its_name(column: str, group: str | None) -> None:
    assert group_of(column) == group


def test_a_neutral_row_favours_neither_side() -> None:
    columns = ["red_age", "blue_age", "diff_age", "women", "venue", "diff_slpm"]
    grouped = GroupedColumns.from_columns(columns)
    rows = np.array([[38.0, 25.0, 13.0, 1.0, 7.0, np.nan], [np.nan, 25.0, np.nan, np.nan, np.nan, 2.0]])
    neutral = grouped.neutral_rows(rows)
    np.testing.assert_array_equal(neutral, [[31.5, 31.5, 0.0, 0.0, 7.0, 0.0], [np.nan, np.nan, 0.0, 0.0, np.nan, 0.0]])
    np.testing.assert_array_equal(grouped.neutral_rows(grouped.plan(rows)), neutral)
    np.testing.assert_array_equal(grouped.plan(neutral), neutral)


def test_groups_stand_in_the_order_of_reports() -> None:
    assert GroupedColumns.from_columns(["women", "diff_ctrl_share", "diff_age"]).names == (
        "age_and_size",
        "wrestling",
        "context",
    )
