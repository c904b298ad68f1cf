"""Command-line types for times: a time with a time zone, and a time or an age."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import click

_AGE = re.compile(r"(?P<count>[0-9]{1,6})(?P<unit>s|min|h|d)")
_UNITS = {
    "s": timedelta(seconds=1),
    "min": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}


class MomentParam(click.ParamType[datetime]):
    """Command-line type for a time with a time zone."""

    name = "moment"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Parse ISO 8601."""
        try:
            moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a time like 2030-01-01T00:00:00Z", param, ctx)
        if moment.tzinfo is None:
            self.fail(f"{value!r} has no time zone: write 2030-01-01T00:00:00Z", param, ctx)
        return moment.astimezone(UTC)


class MomentOrAgeParam(click.ParamType[datetime | timedelta]):
    """Command-line type for a time with a time zone, or how long ago it was."""

    name = "moment or age"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime | timedelta:
        """Parse ISO 8601, or a number of seconds (`s`), minutes (`min`), hours (`h`) or days (`d`)."""
        if isinstance(value, timedelta):
            return value
        if (age := _AGE.fullmatch(str(value))) is not None:
            return int(age["count"]) * _UNITS[age["unit"]]
        if isinstance(value, str) and not value[:4].isdecimal():
            self.fail(f"{value!r} is neither a time like 2030-01-01T00:00:00Z nor an age like 90s, 30min, 12h, 7d")
        return MomentParam().convert(value, param, ctx)


def moment_of(given: datetime | timedelta | None, now_seconds: float) -> datetime | None:
    """Return the time of a `MomentOrAgeParam`, on the server's clock."""
    return datetime.fromtimestamp(now_seconds, UTC) - given if isinstance(given, timedelta) else given
