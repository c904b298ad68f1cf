"""When a feed is polled: by the time to the next event, inside a budget. Pure functions.

The spans before the events (`Tier`) decide the interval. If the budget does not suffice for all polls until the
provider counts from 0 again, the polls of the last hours before the listed events go first, then those of the last
days, and what is left is spread over the rest: the far polls stretch first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import pairwise

from producer.feed_runner.settings import FeedSettings

FOREVER = math.inf


class Tier(StrEnum):
    """A span before the next event."""

    NEAR = "near"
    DAY = "day"
    FAR = "far"
    IDLE = "idle"


PAID = (Tier.NEAR, Tier.DAY, Tier.FAR)
"""The spans whose polls cost credits, the most important first."""


@dataclass(frozen=True)
class Span:
    """A stretch of time within one tier; in seconds since 1970."""

    begin: float
    end: float
    tier: Tier


@dataclass(frozen=True)
class PollPlan:
    """Intervals that fit the budget.

    Attributes
    ----------
    intervals
        Seconds between two polls of the prices in each tier; infinite if there is nothing left for it.
    coverage
        Share of the polls near and within a day for which the budget suffices; None without a limit.
    """

    intervals: Mapping[Tier, float]
    coverage: float | None


def configured_intervals(settings: FeedSettings) -> dict[Tier, float]:
    """Return the intervals of the settings, in seconds."""
    return {
        Tier.NEAR: settings.feed_near_seconds,
        Tier.DAY: settings.feed_day_seconds,
        Tier.FAR: settings.feed_far_seconds,
        Tier.IDLE: settings.feed_idle_seconds,
    }


def spans(starts: Sequence[datetime], begin: float, end: float, settings: FeedSettings) -> Iterator[Span]:
    """Yield the spans from `begin` to `end`, in order and without gaps.

    Parameters
    ----------
    starts
        Starts of the listed events.
    begin, end
        Seconds since 1970.
    settings
        The lengths of the tiers.
    """
    bells = sorted({start.timestamp() for start in starts if start.timestamp() > begin})
    windows = (settings.feed_near_window_seconds, settings.feed_day_window_seconds)
    marks = sorted({moment for bell in bells for moment in (bell, *(bell - window for window in windows))})
    edges = [begin, *(mark for mark in marks if begin < mark < end), end]
    following = 0
    for left, right in pairwise(edges):
        while following < len(bells) and bells[following] <= left:
            following += 1
        yield Span(left, right, _tier(bells[following] - left if following < len(bells) else None, windows))


def plan_polls(
    starts: Sequence[datetime], now: float, settings: FeedSettings, *, polls_left: int | None, resets_at: float
) -> PollPlan:
    """Return intervals that `polls_left` polls suffice for until `resets_at`.

    Parameters
    ----------
    starts
        Starts of the listed events.
    now, resets_at
        Seconds since 1970.
    settings
        The intervals that are wanted.
    polls_left
        How many polls of the prices the budget still pays for; None without a limit.
    """
    wanted = configured_intervals(settings)
    if polls_left is None:
        return PollPlan(wanted, None)
    seconds = dict.fromkeys(Tier, 0.0)
    for span in spans(starts, now, max(now, resets_at), settings):
        seconds[span.tier] += span.end - span.begin
    left, intervals = float(polls_left), dict(wanted)
    for tier in PAID:
        needed = math.ceil(seconds[tier] / wanted[tier])
        if needed > left:
            intervals[tier] = seconds[tier] / left if left else FOREVER
        left = max(0.0, left - needed)
    important = sum(math.ceil(seconds[tier] / wanted[tier]) for tier in PAID[:2])
    return PollPlan(intervals, min(1.0, polls_left / important) if important else float(polls_left > 0))


def next_poll(
    last: float, starts: Sequence[datetime], intervals: Mapping[Tier, float], settings: FeedSettings
) -> float:
    """Return the first moment at which as much time has passed since `last` as its tier asks for.

    In seconds since 1970, infinite if there is none. The idle tier has no polls of the prices.
    """
    end = max([last, *(start.timestamp() for start in starts)]) + 1.0
    for span in spans(starts, last, end, settings):
        due = max(span.begin, last + intervals[span.tier])
        if span.tier is not Tier.IDLE and due < span.end:
            return due
    return FOREVER


def tier_at(now: float, starts: Sequence[datetime], settings: FeedSettings) -> Tier:
    """Return the tier of a moment, in seconds since 1970."""
    return next(spans(starts, now, now + 1.0, settings)).tier


def reset_after(moment: datetime, day: int) -> datetime:
    """Return the first midnight of a `day` of a month, in UTC, after a moment."""
    found = moment.astimezone(UTC).replace(day=day, hour=0, minute=0, second=0, microsecond=0)
    if found > moment:
        return found
    return (found.replace(day=1) + timedelta(days=32)).replace(day=day)


def _tier(left: float | None, windows: tuple[float, float]) -> Tier:
    """Return the tier in which the next event is `left` seconds away, None if there is none."""
    if left is None:
        return Tier.IDLE
    return Tier.NEAR if left <= windows[0] else Tier.DAY if left <= windows[1] else Tier.FAR
