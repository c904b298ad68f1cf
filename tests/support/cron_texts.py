"""Cron texts and time zones for property tests: all forms of fields, and the changes of summer time of odd zones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",  # by half an hour
    "Antarctica/Troll",  # by two hours
    "Asia/Beirut",  # at midnight
    "America/Havana",  # at midnight, and at one o'clock back to midnight
    "Pacific/Chatham",  # from an odd quarter
)


def _transitions(zone: str) -> list[datetime]:
    """Return when the clocks of a zone are changed in 2026 and 2027."""
    found, at, day = [], datetime(2026, 1, 1, tzinfo=UTC), timedelta(days=1)
    while at.year < 2028:
        if at.astimezone(ZoneInfo(zone)).utcoffset() != (at + day).astimezone(ZoneInfo(zone)).utcoffset():
            low, high = at, at + day
            while high - low > timedelta(minutes=1):
                middle = low + (high - low) / 2
                same = middle.astimezone(ZoneInfo(zone)).utcoffset() == low.astimezone(ZoneInfo(zone)).utcoffset()
                low, high = (middle, high) if same else (low, middle)
            found.append(high.replace(second=0, microsecond=0))
        at += day
    return found


TRANSITIONS = {zone: _transitions(zone) for zone in ZONES}


def _field(lowest: int, highest: int) -> st.SearchStrategy[str]:
    number = st.integers(lowest, highest)
    return st.one_of(
        st.just("*"),
        st.integers(2, highest).map(lambda step: f"*/{step}"),
        number.map(str),
        st.lists(number, min_size=2, max_size=4).map(lambda numbers: ",".join(map(str, numbers))),
        st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}"),
    )


@st.composite
def cron_texts(draw: st.DrawFn) -> str:
    """Draw a cron text with a slot at least every few days; with seconds if its minutes are few."""
    hour = draw(st.one_of(_field(0, 23), _field(0, 4)))
    minute = draw(_field(0, 59))
    day = draw(st.sampled_from(["*", "*", "*/2", "1-31", "L,1-30"]))
    weekday = draw(st.sampled_from(["*", "*", "1-6", "SUN,2,4,FRI"]))
    text = f"{minute} {hour} {day} * {weekday}"
    seconds = draw(st.sampled_from(["", "", "0 ", "17 ", "0,30 "]))
    return f"{seconds if minute.isdecimal() else ''}{text}"
