"""The slots of a cron text in a time zone, as UTC moments, each the same from wherever they are counted.

Cron texts are read by cronsim, which follows Debian's cron: at a change of summer time a five-field text with a fixed
minute and hour runs once on each day, at the end of the hour that is skipped, and in the first of two equal hours.
Texts with `*` in minute or hour, and those with seconds, run by the clock on the wall: not in a skipped hour, and in
both of two equal ones. Where clocks change by half an hour (Lord Howe), a fixed minute that comes twice runs once.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from ledger.contracts.codec import job_refused

_HOURS_OF_A_DAY = 24
_HOUR = timedelta(hours=1)
_AFTER_TRANSITION = timedelta(hours=26)
_BEFORE_TRANSITION = timedelta(hours=1)


def check_cron(cron: str, zone: str) -> None:
    """Check a cron text and the name of a zone. Raises JobRefusedError with what is wrong."""
    try:
        moment = datetime.now(_zone(zone))
    except (KeyError, ValueError, OSError):  # the last for a folder of zones, such as Europe
        raise job_refused(
            f"`zone` {zone[:64]!r} is no IANA time zone: give one like Europe/Berlin or America/New_York, or UTC",
            field="zone",
        ) from None
    try:
        next(CronSim(cron, moment))
    except CronSimError as error:
        raise job_refused(
            f"`cron` {cron[:80]!r}: {error}; give minute, hour, day of the month, month and day of the week, such as "
            "`30 2 * * *`, with the seconds before them if there are any",
            field="cron",
        ) from None
    except StopIteration:
        raise job_refused(f"`cron` {cron[:80]!r} has no slot in the next 50 years", field="cron") from None


def slots_after(cron: str, zone: str, after: datetime) -> Iterator[datetime]:
    """Yield the slots after a moment, in order, as UTC.

    `after` is exclusive. The cron text and the zone are those that `check_cron` has accepted.
    """
    zone_info = _zone(zone)
    latest = after
    for slot in CronSim(cron, _start(cron, zone_info, after).astimezone(zone_info)):
        moment = slot.astimezone(UTC)
        if moment > latest:  # in the second of two equal hours cronsim begins with a slot of the first
            latest = moment
            yield moment


def next_slot(cron: str, zone: str, after: datetime) -> datetime | None:
    """Return the first slot after a moment, None if there is none in 50 years."""
    return next(slots_after(cron, zone, after), None)


def slots_until(cron: str, zone: str, after: datetime, until: datetime, limit: int) -> tuple[list[datetime], bool]:
    """Return at most `limit` slots after a moment and up to another, and whether these are all."""
    found: list[datetime] = []
    for slot in islice(slots_after(cron, zone, after), limit + 1):
        if slot > until:
            return found, True
        found.append(slot)
    return found[:limit], len(found) <= limit


def _start(cron: str, zone: ZoneInfo, after: datetime) -> datetime:
    """Return where cronsim begins.

    It goes from hour to hour by adding 3600 s. Across a change of summer time what it then finds depends on where it
    began: with a change by half an hour (Lord Howe) it stays off the hour until midnight, and a midnight that is
    skipped is found from the day before only. So near a change it always begins at the same moment before. A text for
    every hour is not concerned by a change of whole hours.
    """
    if zone.key == "UTC":
        return after
    before, past = after - _AFTER_TRANSITION, after + _BEFORE_TRANSITION
    change = _offset(past, zone) - _offset(before, zone)
    if not change or (len(_hours(cron)) == _HOURS_OF_A_DAY and not change % _HOUR):
        return after
    while past - before > timedelta(seconds=1):
        middle = before + (past - before) / 2
        if _offset(middle, zone) == _offset(past, zone):
            past = middle
        else:
            before = middle
    transition = past.replace(second=0, microsecond=0)
    return min(after, transition - _BEFORE_TRANSITION)


def _offset(moment: datetime, zone: ZoneInfo) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta(0)


@lru_cache(maxsize=1000)
def _hours(cron: str) -> frozenset[int]:
    return frozenset(CronSim(cron, datetime.now(UTC)).hours)


@lru_cache(maxsize=1000)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
