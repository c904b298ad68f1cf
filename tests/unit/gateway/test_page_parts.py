from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from gateway.pages.filters import ago, capitalize_first, counted, number, position, segment, time_element
from gateway.pages.rendering import own_path

NOON = datetime(2030, 1, 5, 12, tzinfo=UTC)


def test_a_time_is_shown_in_utc_with_its_element() -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=-5)))
    assert time_element(elsewhere) == '<time datetime="2030-01-05T12:00:00Z">2030-01-05 12:00:00 UTC</time>'
    assert time_element(None) == "-"


def test_a_distance_in_time_has_a_direction() -> None:
    assert ago(NOON - timedelta(minutes=5), NOON) == "5 min ago"
    assert ago(NOON + timedelta(days=2, hours=3), NOON) == "in 2 d 3 h"


def test_values_are_written_for_their_place() -> None:
    assert [counted(1, "fight"), counted(1200, "fight"), counted(2, "entry", "entries")] == [
        "1 fight",
        "1,200 fights",
        "2 entries",
    ]
    assert capitalize_first("a UFC card") == "A UFC card"
    assert segment("a/b c?") == "a%2Fb%20c%3F"
    assert [position(share) for share in (-0.1, 0.256, 1.5)] == ["0.00%", "25.60%", "100.00%"]
    assert number(-0.001) == "0.00"


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("/cards/a%2Fb?answer=x", True),
        ("/", True),
        ("//evil.example", False),
        ("/\\evil.example", False),
        ("https://evil.example", False),
        ("/a\nb", False),
        ("/\t/evil.example", False),
        ("cards", False),
    ],
)
def test_only_a_path_of_this_gateway_is_followed(path: str, kept: bool) -> None:
    assert own_path(path, "/home") == (path if kept else "/home")
