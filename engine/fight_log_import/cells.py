"""Values of the sources' cells in the units of a fight log. Each function raises ValueError with the remedy."""

from __future__ import annotations

import re
from datetime import date, datetime

CM_PER_INCH = 2.54
BLANKS = ("", "--", "---", "nan", "None")

_DAY_FORMATS = ("%B %d, %Y", "%b %d, %Y", "%b. %d, %Y", "%Y-%m-%d")
_HEIGHT = re.compile(r"(\d)' ?(\d{1,2})\"?")
_INCHES = re.compile(r"(\d{2,3}(?:\.\d+)?)\"?")
_CLOCK = re.compile(r"(\d{1,3}):([0-5]\d)")
_PAIR = re.compile(r"(\d{1,4}) of (\d{1,4})")
_FORMAT = re.compile(r"(?P<rounds>\d+) Rnd(?: \+ \d*OT)? \((?P<minutes>\d+(?:-\d+)*)\)")
_LINK = re.compile(r"(?:https?://\S+/)?([0-9A-Za-z_-]{4,64})/?")
UNLIMITED = "No Time Limit"


def is_blank(text: str) -> bool:
    """Return True for the spellings of a value that the source does not know."""
    return text in BLANKS


def parse_day(text: str) -> date:
    """Parse `September 27, 2025`, `Sep 27, 2025` or `2025-09-27`, also with a time after the latter."""
    for form in _DAY_FORMATS:
        try:
            return datetime.strptime(text, form).date()
        except ValueError:
            continue
    try:
        return datetime.fromisoformat(text).date()
    except ValueError:
        raise ValueError("is not a day: write it as September 27, 2025 or 2025-09-27") from None


def parse_height(text: str) -> float | None:
    """Parse `5' 11"` to centimetres; None for a blank."""
    if is_blank(text):
        return None
    found = _HEIGHT.fullmatch(text)
    if found is None or int(found[2]) > 11:
        raise ValueError("""is not a height: write it as 5' 11\"""")
    return round((int(found[1]) * 12 + int(found[2])) * CM_PER_INCH, 2)


def parse_inches(text: str) -> float | None:
    """Parse `72"` to centimetres; None for a blank."""
    if is_blank(text):
        return None
    found = _INCHES.fullmatch(text)
    if found is None:
        raise ValueError("""is not a length: write inches, as 72\"""")
    return round(float(found[1]) * CM_PER_INCH, 2)


def parse_clock(text: str) -> int:
    """Parse `4:27` to seconds."""
    found = _CLOCK.fullmatch(text)
    if found is None:
        raise ValueError("is not a time: write minutes and seconds, as 4:27")
    return int(found[1]) * 60 + int(found[2])


def parse_pair(text: str) -> tuple[int, int]:
    """Parse `12 of 30` to what landed and what was attempted."""
    found = _PAIR.fullmatch(text)
    if found is None:
        raise ValueError("is not a pair of counts: write it as 12 of 30")
    landed, attempted = int(found[1]), int(found[2])
    if landed > attempted:
        raise ValueError("has more landed than attempted: correct one of the counts")
    return landed, attempted


def parse_count(text: str) -> int:
    """Parse a whole number of 0 or more, also as `2.0`."""
    try:
        number = float(text)
    except ValueError:
        raise ValueError("is not a number: write a whole number") from None
    if not (0 <= number < 10_000 and number == int(number)):
        raise ValueError("is not a count: write a whole number of 0 or more")
    return int(number)


def parse_flag(text: str) -> str:
    """Parse `True` and `False`, also as 1 and 0, to "1" and "0"."""
    meant = {"true": "1", "1": "1", "1.0": "1", "false": "0", "0": "0", "0.0": "0"}.get(text.casefold())
    if meant is None:
        raise ValueError("is neither True nor False: write one of them")
    return meant


def parse_link(text: str) -> str:
    """Return the id at the end of a link, as `a3ee907c77544cde`."""
    found = _LINK.fullmatch(text)
    if found is None:
        raise ValueError("has no id at its end: write the source's link of the page")
    return found[1]


def parse_american(text: str) -> float | None:
    """Return the decimal price of American odds such as `-150` or `130.0`; None for a blank."""
    if is_blank(text):
        return None
    try:
        odds = float(text)
    except ValueError:
        raise ValueError("is not a price: write American odds, as -150") from None
    if not 100 <= abs(odds) <= 100_000:
        raise ValueError("is no American price: it is at most -100 or at least +100")
    return round(1 + (odds / 100 if odds > 0 else 100 / -odds), 6)


def fought_seconds(form: str, last_round: str, clock: str) -> tuple[int | None, int]:
    """Return the scheduled rounds (None without a limit) and the seconds from the first bell.

    Parameters
    ----------
    form
        The source's format, as `3 Rnd (5-5-5)`, `1 Rnd + 2OT (15-3-3)` or `No Time Limit`.
    last_round
        The round in which the fight ended, from 1.
    clock
        The time in that round, as `4:27`.
    """
    number, seconds = parse_count(last_round), parse_clock(clock)
    if form == UNLIMITED:
        if number != 1:
            raise ValueError(f"round {number} cannot be without a time limit: correct round or format")
        return None, seconds
    found = _FORMAT.fullmatch(form)
    if found is None:
        raise ValueError("is not a format: write it as 3 Rnd (5-5-5)")
    lengths = [int(minutes) * 60 for minutes in found["minutes"].split("-")]
    if not 1 <= number <= len(lengths):
        raise ValueError(f"has no round {number}: correct round or format")
    if not 0 < seconds <= lengths[number - 1]:
        raise ValueError(f"has no {clock} in round {number}: correct time or format")
    return int(found["rounds"]), sum(lengths[: number - 1]) + seconds
