from __future__ import annotations

import json
from typing import Any

import pytest

from workers.handlers.replay.outcome_diff import compare_outcomes

CARD = {"model": "m", "fights": [{"id": "1", "fighters": [{"p": 0.25, "bet": None}, {"p": 0.75}]}], "flags": []}


def outcome(**changes: Any) -> bytes:
    return json.dumps(CARD | changes).encode()


def fights(p: object, **more: object) -> list[dict[str, Any]]:
    return [{"id": "1", "fighters": [{"p": p, "bet": None, **more}, {"p": 0.75}]}]


@pytest.mark.parametrize(
    ("again", "verdict", "field", "largest"),
    [
        (CARD, "same", None, 0.0),
        (dict(reversed(CARD.items())), "same", None, 0.0),
        (CARD | {"fights": fights(0.25 + 1e-13)}, "close", "fights[0].fighters[0].p", 1e-13),
        (CARD | {"fights": fights(0.25 + 1e-11)}, "differs", "fights[0].fighters[0].p", 1e-11),
        (CARD | {"fights": fights("0.25")}, "differs", "fights[0].fighters[0].p", 0.0),
        (CARD | {"fights": fights(None)}, "differs", "fights[0].fighters[0].p", 0.0),
        (CARD | {"fights": fights(True)}, "differs", "fights[0].fighters[0].p", 0.0),
        (CARD | {"fights": fights(0.25, bet=0.1)}, "differs", "fights[0].fighters[0].bet", 0.0),
        (CARD | {"fights": fights(0.25, new=1)}, "differs", "fights[0].fighters[0].new", 0.0),
        (CARD | {"fights": []}, "differs", "fights[0]", 0.0),
        (CARD | {"flags": ["debutant"]}, "differs", "flags[0]", 0.0),
        (CARD | {"flags": {}}, "differs", "flags", 0.0),
        # A small difference does not hide a large one behind it.
        (CARD | {"fights": fights(0.25 + 1e-13), "model": "n"}, "differs", "fights[0].fighters[0].p", 1e-13),
    ],
)
def test_how_far_two_outcomes_agree(again: dict[str, Any], verdict: str, field: str | None, largest: float) -> None:
    found = compare_outcomes(outcome(), json.dumps(again).encode())
    assert found.verdict == verdict
    assert (found.first_difference.field if found.first_difference else None) == field
    assert found.largest_difference == pytest.approx(largest, rel=1e-3)


def test_large_numbers_are_held_to_their_size() -> None:
    assert compare_outcomes(b'{"units": 1e6}', b'{"units": 1000000.0000001}').verdict == "close"
    assert compare_outcomes(b'{"units": 1e6}', b'{"units": 1000000.0001}').verdict == "differs"


def test_the_sign_of_nothing_is_a_bit_too() -> None:
    assert compare_outcomes(b'{"x": 0.0}', b'{"x": -0.0}').verdict == "close"


def test_both_values_are_told_as_they_were_written() -> None:
    first = compare_outcomes(b'{"a": 0.1}', b'{"a": 0.2, "b": 1}').first_difference
    assert first is not None
    assert (first.field, first.kept, first.again) == ("a", "0.1", "0.2")
    missing = compare_outcomes(b'{"a": 0.1}', b"{}").first_difference
    assert missing is not None
    assert (missing.kept, missing.again) == ("0.1", None)
