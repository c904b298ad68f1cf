from __future__ import annotations

import pytest

from ledger.controls import Controls, Value
from workers.resize import change, target


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, 2),
        ({"min_children.predict": 3, "max_children.predict": 3}, 3),  # `cornerman scale`
        ({"min_children.predict": 1, "max_children.predict": 1}, 1),
        ({"max_children.predict": 4}, 2),
        ({"max_children.predict": 1}, 1),
        ({"min_children.predict": 4}, 4),
        ({"min_children.predict": 1}, 2),
        ({"min_children.train": 4, "max_children.train": 4}, 2),
    ],
)
def test_the_size_that_is_wanted_of_a_pool_started_with_two(given: dict[str, Value], expected: int) -> None:
    assert target(Controls(given), "predict", 2) == expected


@pytest.mark.parametrize(
    ("wanted", "children", "idle", "settled", "expected"),
    [
        (2, 2, 2, True, 0),
        (4, 2, 0, True, 2),
        (4, 2, 2, False, 0),
        (1, 4, 4, True, -3),
        (1, 4, 2, True, -2),  # the busy ones finish first
        (1, 4, 0, True, 0),
        (1, 4, 4, False, 0),
    ],
)
def test_only_idle_children_go_and_none_is_told_twice(
    wanted: int, children: int, idle: int, settled: bool, expected: int
) -> None:
    assert change(wanted, children, idle, settled=settled) == expected
