"""Withdrawals that a feed cannot notice before the bell: bets on those fights stay open until a person voids them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from producer.season.evidence import unnoticed_withdrawals
from producer.season.quote_count import Reading
from producer.service.played_season import PlayedListing

BELL, WITHDRAWN = 1_000, 990.0


def reading(moment: float, clock_ahead: float = 0.0) -> Reading:
    return Reading(datetime.fromtimestamp(moment + clock_ahead, UTC), moment)


def listing(results: tuple[tuple[float, str], ...] = ()) -> PlayedListing:
    return PlayedListing("f1", ("Ana", "Bea"), ((900.0, WITHDRAWN),), ((900.0, BELL),), {}, results)


@pytest.mark.parametrize(
    ("readings", "is_unnoticed"),
    [
        ([reading(991), reading(993), reading(995)], False),
        ([reading(991), reading(993)], True),
        ([reading(991), reading(991.5), reading(992)], True),  # three, within less than the time
        ([reading(985), reading(991), reading(993)], True),  # one from before the withdrawal
        ([reading(991), reading(993), reading(1_000)], True),  # one at the bell
        ([reading(991), reading(993), reading(998, clock_ahead=3)], True),  # after the bell by the server's clock
        ([reading(991, clock_ahead=3), reading(993), reading(995)], True),  # older than one before it
        ([reading(991, clock_ahead=3), reading(993), reading(995), reading(997)], False),
    ],
)
def test_a_withdrawal_is_noticed_by_enough_readings_before_the_bell(
    readings: list[Reading], is_unnoticed: bool
) -> None:
    assert unnoticed_withdrawals([listing()], readings) == ({"f1"} if is_unnoticed else set())


def test_a_fight_with_a_result_was_not_withdrawn() -> None:
    assert unnoticed_withdrawals([listing(results=((1_100.0, "first"),))], []) == set()
