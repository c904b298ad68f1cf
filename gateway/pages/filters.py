"""How the pages write times, shares and other values."""

from __future__ import annotations

from datetime import UTC, date, datetime
from urllib.parse import quote

from markupsafe import Markup

from producer.output.table_parts import NOTHING, duration_text


def time_element(moment: datetime | None, form: str = "%Y-%m-%d %H:%M:%S UTC") -> Markup | str:
    """Return a moment as a `<time>` element in UTC; a dash for None."""
    if moment is None:
        return NOTHING
    utc = moment.astimezone(UTC)
    return Markup('<time datetime="{}">{}</time>').format(f"{utc:%Y-%m-%dT%H:%M:%SZ}", utc.strftime(form))


def day_element(day: date) -> Markup:
    """Return a day as a `<time>` element."""
    return Markup('<time datetime="{}">{}</time>').format(day.isoformat(), f"{day:%A}, {day.day} {day:%B %Y}")


def ago(moment: datetime | None, now: datetime) -> str:
    """Return the distance of a moment from now, such as `5 min ago` or `in 2 d 3 h`."""
    if moment is None:
        return NOTHING
    seconds = (now - moment).total_seconds()
    return f"{duration_text(seconds)} ago" if seconds >= 0 else f"in {duration_text(-seconds)}"


def percent(share: float | None, digits: int = 1) -> str:
    """Return a share as a percentage; a dash for None."""
    return NOTHING if share is None else f"{share:.{digits}%}"


def signed_percent(share: float | None) -> str:
    """Return a difference of shares with its sign; a dash for None."""
    return NOTHING if share is None else f"{share:+.1%}"


def counted(count: int, word: str, plural: str | None = None) -> str:
    """Return a number with its word, such as `1 fight` or `12 fights`."""
    return f"{count:,} {word if count == 1 else plural or f'{word}s'}"


def capitalize_first(text: str) -> str:
    """Return a text with its first letter in upper case and the rest as it is."""
    return text[:1].upper() + text[1:]


def segment(text: str) -> str:
    """Return a text as one segment of a path."""
    return quote(text, safe="")


def position(share: float) -> str:
    """Return a share of the width of a drawing as an SVG length."""
    return f"{100 * min(1.0, max(0.0, share)):.2f}%"


def number(value: float, digits: int = 2) -> str:
    """Return a number with a fixed count of digits, without a minus before zero."""
    return f"{round(value, digits) + 0.0:.{digits}f}"


FILTERS = {
    "time": time_element,
    "day": day_element,
    "ago": ago,
    "percent": percent,
    "signed_percent": signed_percent,
    "counted": counted,
    "capitalize_first": capitalize_first,
    "segment": segment,
    "position": position,
    "number": number,
    "duration": duration_text,
}
