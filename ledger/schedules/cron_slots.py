"""The slots of a cron text in a time zone, as UTC moments, each the same from wherever they are counted.

cronsim finds the times of a wall clock without a zone; which moments they are is decided here as by the cron of Debian.
At a change of summer time a five-field text with a fixed minute and hour runs once on each day: at the end of the hour
that is skipped, and in the first of two equal hours. Texts with `*` in minute or hour, and those with seconds, run by
the clock on the wall: not in a skipped hour, and in both of two equal ones.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from ledger.contracts.codec import job_refused

_MINUTE = timedelta(minutes=1)
_LONGEST_CHANGE = timedelta(days=1)  # where the date line was moved
_FIELDS_WITHOUT_SECONDS = 5
_MAX_STEPS = {"second": 60, "minute": 60, "hour": 24, "day of the month": 31, "month": 12, "day of the week": 7}


def check_cron(cron: str, zone: str) -> None:
    """Check a cron text and the name of a zone. Raises JobRefusedError with what is wrong."""
    try:
        now = datetime.now(_zone(zone))
    except (KeyError, ValueError, OSError):  # the last for a folder of zones, such as Europe
        raise job_refused(
            f"`zone` {zone[:64]!r} is no IANA time zone: give one like Europe/Berlin or America/New_York, or UTC",
            field="zone",
        ) from None
    try:
        next(CronSim(cron, now.replace(tzinfo=None)))
    except CronSimError as error:
        raise job_refused(
            f"`cron` {cron[:80]!r}: {error}; give minute, hour, day of the month, month and day of the week, such as "
            "`30 2 * * *`, with the seconds before them if there are any",
            field="cron",
        ) from None
    except StopIteration:
        raise job_refused(f"`cron` {cron[:80]!r} has no slot in the next 50 years", field="cron") from None
    _check_steps(cron)


def slots_after(cron: str, zone: str, after: datetime) -> Iterator[datetime]:
    """Yield the slots after a moment, in order, as UTC.

    `after` is exclusive. The cron text and the zone are those that `check_cron` has accepted.
    """
    zone_info = _zone(zone)
    moments = _once_a_day if _is_fixed(cron) else _by_wall_clock
    latest = after
    for moment in moments(CronSim(cron, _start(zone_info, after)), zone_info):
        if moment > latest:
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


def _check_steps(cron: str) -> None:
    """Refuse a step that no value of its field can follow: every 99 hours would be every day at midnight."""
    fields = cron.split()
    for (name, max_step), field in zip(reversed(_MAX_STEPS.items()), reversed(fields), strict=False):
        for term in field.split(","):
            step = term.partition("/")[2]
            if step and int(step) > max_step:
                raise job_refused(
                    f"`cron` {cron[:80]!r}: a step of {step} in the {name}, which would repeat one value only; give at "
                    f"most {max_step}, or that value",
                    field="cron",
                )


def _is_fixed(cron: str) -> bool:
    """Return True if a text has a fixed minute and hour, and no seconds."""
    fields = cron.split()
    return len(fields) == _FIELDS_WITHOUT_SECONDS and not any(field.startswith("*") for field in fields[:2])


def _start(zone: ZoneInfo, after: datetime) -> datetime:
    """Return a time of the wall clock before all slots after a moment: before those of an hour that will come twice."""
    local = after.astimezone(zone).replace(tzinfo=None)
    back = _offset(after, zone) - _offset(after + _LONGEST_CHANGE, zone)
    return local - max(back, timedelta(0))


def _once_a_day(times: Iterator[datetime], zone: ZoneInfo) -> Iterator[datetime]:
    """Yield a moment for each time: the first of two, and for a skipped time the end of what is skipped."""
    for time in times:
        while _is_skipped(time, zone):
            time += _MINUTE
        yield _moment(time, zone, 0)


def _by_wall_clock(times: Iterator[datetime], zone: ZoneInfo) -> Iterator[datetime]:
    """Yield the moments at which a wall clock shows the times, in order."""
    second: deque[datetime] = deque()  # moments at which a time comes again
    for time in times:
        if _is_skipped(time, zone):
            continue
        moment, again = _moment(time, zone, 0), _moment(time, zone, 1)
        while second and second[0] < moment:
            yield second.popleft()
        yield moment
        if again > moment:
            second.append(again)
    yield from second


def _is_skipped(time: datetime, zone: ZoneInfo) -> bool:
    return _moment(time, zone, 0).astimezone(zone).replace(tzinfo=None) != time


def _moment(time: datetime, zone: ZoneInfo, fold: int) -> datetime:
    return time.replace(tzinfo=zone, fold=fold).astimezone(UTC)


def _offset(moment: datetime, zone: ZoneInfo) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta(0)


@lru_cache(maxsize=1000)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
