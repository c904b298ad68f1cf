from __future__ import annotations

import json

import pytest

from benchmarks.results import Row, document, table


def row(naive: tuple[float, ...], ours: tuple[float, ...], *, higher: bool, wanted: float | None = None) -> Row:
    return Row("jobs", "jobs/s", naive, ours, wanted, higher)


@pytest.mark.parametrize(
    ("naive", "ours", "higher", "wanted", "ratio", "met"),
    [
        ((100.0,), (2000.0,), True, 15.0, 20.0, True),
        ((100.0,), (2000.0,), True, 21.0, 20.0, False),
        ((8.0,), (2.0,), False, 2.0, 4.0, True),
        ((1.0,), (2.0,), False, 0.4, 0.5, True),
        ((1.0, 9.0, 2.0), (8.0, 4.0, 1.0), True, None, 2.0, None),
    ],
)
def test_the_ratio_says_how_many_times_better_ours_is(
    naive: tuple[float, ...], ours: tuple[float, ...], higher: bool, wanted: float | None, ratio: float, met: bool
) -> None:
    found = row(naive, ours, higher=higher, wanted=wanted)
    assert (found.ratio, found.met) == (ratio, met)
    assert (found.low, found.high) == (min(ours), max(ours))


@pytest.mark.parametrize(("naive", "ours"), [((), (1.0,)), ((1.0,), ()), ((0.0,), (1.0,))])
def test_a_row_needs_repeats_greater_than_zero(naive: tuple[float, ...], ours: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="jobs: both sides need repeats"):
        row(naive, ours, higher=True)


def test_table_and_document_say_the_same() -> None:
    rows = [row((100.0, 110.0, 90.0), (1500.5,), higher=True, wanted=20.0)]
    assert table(rows).splitlines()[-1] == (
        "| jobs | jobs/s | 100 (90 to 110) | 1,500 (1,500 to 1,500) | 15 | 20, missed |  |"
    )
    (written,) = json.loads(json.dumps(document(rows)))
    assert written["naive"] == {"median": 100.0, "low": 90.0, "high": 110.0, "repeats": [100.0, 110.0, 90.0]}
    assert (written["ratio"], written["wanted_ratio"], written["met"]) == (15.005, 20.0, False)
