from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ledger.contracts.failures import JobRefusedError
from ledger.schedules.cron_slots import check_cron, next_slot, slots_after, slots_until
from tests.support.cron_texts import TRANSITIONS, cron_texts

SPRING, AUTUMN = "2026-03-29", "2026-10-25"  # in Berlin
BERLIN, NEW_YORK, LORD_HOWE = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"
CHATHAM_SLOTS = ("12:15", "13:00", "13:15", "14:00", "14:15", "15:00")


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "zone", "day", "expected"),
    [
        # A fixed time in five fields: once on each day.
        ("30 2 * * *", BERLIN, SPRING, ["2026-03-29 01:00", "2026-03-30 00:30"]),
        ("30 2 * * *", BERLIN, AUTUMN, ["2026-10-25 00:30", "2026-10-26 01:30"]),
        ("30 2 * * *", NEW_YORK, "2026-03-08", ["2026-03-08 07:00", "2026-03-09 06:30"]),
        ("30 2 * * *", NEW_YORK, "2026-11-01", ["2026-11-01 07:30", "2026-11-02 07:30"]),
        ("30 1 * * *", NEW_YORK, "2026-11-01", ["2026-11-01 05:30", "2026-11-02 06:30"]),
        ("0,30 2 * * *", BERLIN, SPRING, ["2026-03-29 01:00", "2026-03-30 00:00", "2026-03-30 00:30"]),
        ("0,30 2,3 * * *", BERLIN, SPRING, ["2026-03-29 01:00", "2026-03-29 01:30", "2026-03-30 00:00"]),
        # With seconds, or a star: by the clock on the wall.
        ("0 30 2 * * *", BERLIN, SPRING, ["2026-03-30 00:30", "2026-03-31 00:30"]),
        ("0 30 2 * * *", BERLIN, AUTUMN, ["2026-10-25 00:30", "2026-10-25 01:30", "2026-10-26 01:30"]),
        ("0 30 2 * * *", NEW_YORK, "2026-03-08", ["2026-03-09 06:30"]),
        ("0 30 1 * * *", NEW_YORK, "2026-11-01", ["2026-11-01 05:30", "2026-11-01 06:30", "2026-11-02 06:30"]),
        ("*/30 2 * * *", BERLIN, SPRING, ["2026-03-30 00:00", "2026-03-30 00:30"]),
        ("*/30 2 * * *", BERLIN, AUTUMN, [f"2026-10-25 {at}" for at in ("00:00", "00:30", "01:00", "01:30")]),
        ("30 2 * * *", "UTC", SPRING, ["2026-03-29 02:30", "2026-03-30 02:30"]),
        # By half an hour, from 2:00 back to 1:30: a time comes twice, and no later slot is lost.
        ("30 * * * *", LORD_HOWE, "2026-04-05", [f"2026-04-04 {at}" for at in ("13:30", "14:30", "15:00", "16:00")]),
        ("*/30 0 * * *", LORD_HOWE, "2026-04-05", [f"2026-04-0{at}" for at in ("4 13:30", "5 13:30", "5 14:00")]),
        # At an odd quarter, from 3:45 back to 2:45.
        ("45 3 * * *", "Pacific/Chatham", "2026-04-05", ["2026-04-04 15:00", "2026-04-05 15:00"]),
        ("*/45 2,3 * * *", "Pacific/Chatham", "2026-04-05", [f"2026-04-04 {a}" for a in CHATHAM_SLOTS]),
        # Midnight is skipped: a text with a star has no slot then.
        ("*/30 0 * * *", "Asia/Beirut", "2026-03-29", ["2026-03-29 21:00", "2026-03-29 21:30"]),
        ("30 0 * * *", "Asia/Beirut", "2026-03-28 12:00", ["2026-03-28 22:00", "2026-03-29 21:30"]),
    ],
)
def test_the_slots_at_changes_of_summer_time(cron: str, zone: str, day: str, expected: list[str]) -> None:
    midnight = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    found = list(islice(slots_after(cron, zone, midnight), len(expected)))
    assert found == [moment(text) for text in expected]
    assert {slot.tzinfo for slot in found} == {UTC}


def test_after_a_slot_in_the_first_of_two_equal_hours_comes_the_next_day() -> None:
    in_the_second = moment("2026-10-25 01:10")
    assert next_slot("30 2 * * *", BERLIN, in_the_second) == moment("2026-10-26 01:30")


DISTANCES = st.sampled_from([-3601, -3600, -1, 0, 1, 3600]) | st.integers(-4_000, 4_000) | st.integers(-90_000, 90_000)


@pytest.mark.slow
@given(cron_texts(), st.sampled_from(sorted(TRANSITIONS)), st.integers(0, 3), st.integers(0, 86_400), DISTANCES)
@example("*/20 3 * * *", "Australia/Lord_Howe", 0, 0, 100)
@example("*/30 0 2-31 * *", "Asia/Beirut", 0, 0, -1)
@example("30 2 * * *", "Europe/Berlin", 1, 0, 600)
@example("30 * * * *", "Australia/Lord_Howe", 0, 0, -1)
@example("45-54 */3 * * *", "Pacific/Chatham", 0, 54, 3600)
def test_the_slots_are_the_same_from_wherever_they_are_counted(
    cron: str, zone: str, change: int, before_seconds: int, distance_seconds: int
) -> None:
    transition = TRANSITIONS[zone][change]
    near, end = transition + timedelta(seconds=distance_seconds), transition + timedelta(days=2)
    far = transition - timedelta(days=2, seconds=before_seconds)
    counted = takewhile(lambda slot: slot < end, slots_after(cron, zone, far))
    assert [*takewhile(lambda slot: slot < end, slots_after(cron, zone, near))] == [s for s in counted if s > near]


def test_the_slots_are_those_of_the_wall_clock() -> None:
    """Compare with a count of all minutes of a week, in which no clock is changed."""
    cron = "*/20 3 * * 1-5"
    start, zone = moment("2026-06-01 00:00"), ZoneInfo(BERLIN)
    minutes = ((start + timedelta(minutes=count)) for count in range(1, 7 * 1440))
    local = [(each, each.astimezone(zone)) for each in minutes]
    expected = [each for each, at in local if at.hour == 3 and at.minute % 20 == 0 and at.weekday() < 5]
    found, complete = slots_until(cron, BERLIN, start, start + timedelta(days=7), 100)
    assert (found, complete) == (expected, True)
    assert slots_until(cron, BERLIN, start, start + timedelta(days=7), 4) == (expected[:4], False)


@pytest.mark.parametrize(
    ("cron", "zone", "why"),
    [
        ("", "UTC", "Wrong number of fields"),
        ("* * * * * * *", "UTC", "Wrong number of fields"),
        ("60 * * * *", "UTC", "Bad minute"),
        ("*/0 * * * *", "UTC", "Bad minute"),
        ("0 0 31 2 *", "UTC", "Bad day-of-month"),
        ("0 0 * 2 MON#6", "UTC", "Bad day-of-week"),
        ("@daily", "UTC", "Wrong number of fields"),
        ("*/61 * * * * *", "UTC", "step of 61 in the second"),
        ("*/90 * * * *", "UTC", "step of 90 in the minute"),
        ("45 */99 * * *", "UTC", "step of 99 in the hour"),
        ("0 0 1,3/32 * *", "UTC", "step of 32 in the day of the month"),
        ("0 0 0 1 */13 *", "UTC", "step of 13 in the month"),
        ("0 0 * * */8", "UTC", "step of 8 in the day of the week"),
        ("0 0 * * *", "CEST", "no IANA time zone"),
        ("0 0 * * *", "Europe", "no IANA time zone"),
        ("0 0 * * *", "../etc/passwd", "no IANA time zone"),
        ("0 0 * * *", "/etc/localtime", "no IANA time zone"),
        ("0 0 * * *", "Europe/Berlin\x00", "no IANA time zone"),
        ("0 0 * * *", "Zürich", "no IANA time zone"),
    ],
)
def test_an_invalid_text_or_zone_is_refused_by_name(cron: str, zone: str, why: str) -> None:
    with pytest.raises(JobRefusedError, match=why):
        check_cron(cron, zone)


@pytest.mark.parametrize(
    "cron", ["*/60 * * * *", "0 */24 * * *", "0 0 */31 */12 */7", "*/60 */60 */24 * * *", "10-20/30 0 L * FRI#2"]
)
def test_a_step_of_all_values_and_one_beyond_a_range_are_accepted(cron: str) -> None:
    check_cron(cron, "UTC")


@settings(max_examples=50)
@given(st.text("0123456789*/,-#LWMONJAN ", max_size=30) | st.text(max_size=20))
@example("0 0 1 1 1#2/2")
def test_no_text_is_an_error_of_another_kind(cron: str) -> None:
    with suppress(JobRefusedError):
        check_cron(cron, "Europe/Berlin")
