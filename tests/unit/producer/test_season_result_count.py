from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ledger.models.fight_results import FightResult
from producer.season.count import Count
from producer.season.result_count import count_results
from producer.service.played_season import PlayedSeason

BEGINS = 1_790_000_000.0
DAY = datetime.fromtimestamp(BEGINS, UTC).date()


def _listing(name: str, fighters: tuple[str, str], *results: tuple[int, str]) -> dict[str, object]:
    return {
        "id": name,
        "fighters": list(fighters),
        "listed": [[0, 50]],
        "starts": [[0, 40]],
        "moves": [],
        "results": [list(result) for result in results],
    }


LISTINGS = [
    _listing("won", ("Ann Archer", "Bea Baker"), (50, "first")),
    _listing("overturned", ("Cleo Cole", "Dora Dell"), (50, "second"), (80, "no_contest")),
    _listing("old id", ("Eva Eden", "Fay Ford")),
    _listing("new id", ("Eva Eden", "Fay Ford"), (50, "draw")),
    _listing("cancelled", ("Gia Gold", "Hope Hale")),
]
SEASON = PlayedSeason.from_document(
    {
        "format": "simulated season",
        "version": 1,
        "length_seconds": 100,
        "bouts": [{"listings": [listing]} for listing in LISTINGS],
    },
    BEGINS,
    1.0,
)


def _result(first: str, second: str, winner: int | None, ending: str = "won") -> FightResult:
    return FightResult(date=DAY, fighters=(first, second), winner=winner, ending=ending)  # type: ignore[arg-type]


RIGHT = [
    _result("Ann Archer", "Bea Baker", 0),
    _result("Dora Dell", "Cleo Cole", None, "no_contest"),
    _result("Eva Eden", "Fay Ford", None, "draw"),
]


def _count(results: list[FightResult], seconds: float = 100) -> Count:
    return count_results(SEASON.listings, BEGINS + seconds, results)


def test_right_results_are_right_whatever_the_order_of_the_names() -> None:
    assert _count(RIGHT) == Count(expected=3)
    before = [RIGHT[0], _result("Dora Dell", "Cleo Cole", 0), RIGHT[2]]
    assert _count(before, seconds=60) == Count(expected=3)


@pytest.mark.parametrize("left_out", range(3))
def test_each_lost_result_is_found(left_out: int) -> None:
    assert len(_count(RIGHT[:left_out] + RIGHT[left_out + 1 :]).lost) == 1


@pytest.mark.parametrize("again", range(3))
def test_each_doubled_result_is_found(again: int) -> None:
    assert len(_count([*RIGHT, RIGHT[again]]).doubled) == 1


def test_another_result_than_the_last_reported_one_is_found() -> None:
    assert len(_count([_result("Ann Archer", "Bea Baker", 1), *RIGHT[1:]]).wrong) == 1
    assert len(_count([RIGHT[0], _result("Dora Dell", "Cleo Cole", 0), RIGHT[2]]).wrong) == 1


def test_a_result_of_a_cancelled_or_unknown_bout_is_found() -> None:
    assert len(_count([*RIGHT, _result("Gia Gold", "Hope Hale", 0)]).wrong) == 1
    assert len(_count([*RIGHT, _result("Ann Archer", "Hope Hale", 0)]).wrong) == 1


def test_a_result_before_it_was_reported_is_found() -> None:
    assert len(_count(RIGHT, seconds=10).wrong) == 3
