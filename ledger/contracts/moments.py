"""Moments as whole microseconds since 1970, which is as exactly as datetimes have them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ledger.contracts.codec import job_refused

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def microseconds(moment: datetime, name: str) -> int:
    """Return a moment in microseconds since 1970. Raises JobRefusedError naming it if it has no time zone."""
    if moment.tzinfo is None:
        raise job_refused(f"`{name}` has no time zone: {moment.isoformat()}", field=name)
    return (moment - EPOCH) // MICROSECOND


def to_moment(microseconds: int) -> datetime:
    """Convert microseconds since 1970 to a moment."""
    return EPOCH + timedelta(microseconds=microseconds)
