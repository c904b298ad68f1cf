"""What follows an attempt: delivered, again after a while, a dead letter, or the end of the webhook."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal

from msgspec import Struct

STEP = 3.0
"""By which factor each delay exceeds the one before."""
MAX_DELAY_SECONDS = 4 * 3600.0
JITTER = 0.2
"""Largest share by which a delay is longer or shorter, at random."""
MAX_RETRY_AFTER_SECONDS = 86_400.0
_BUSY = (429, 503)


class Response(Struct, frozen=True, kw_only=True):
    """What came of an attempt: the status of a response, or an error. `retry_after` is the header."""

    status: int | None = None
    error: str = ""
    retry_after: str | None = None


class Step(Struct, frozen=True, kw_only=True):
    """What to do next. `hold_seconds`: for how long the receiver wants nothing at all."""

    verdict: Literal["delivered", "retry", "dead", "disable"]
    delay_seconds: float = 0.0
    hold_seconds: float = 0.0


def next_step(
    response: Response, failures: int, waited_seconds: float, *, first_seconds: float, give_up_seconds: float
) -> Step:
    """Return what follows an attempt.

    Parameters
    ----------
    response
        What came of the attempt. Only a status from 200 to 299 is a delivery.
    failures
        Failed attempts before this one.
    waited_seconds
        Sum of the delays before this attempt.
    first_seconds
        Delay after the first failure; each further one is `STEP` times as long, up to `MAX_DELAY_SECONDS`.
    give_up_seconds
        After delays of this sum in all the message is a dead letter. The last attempt comes at that time.
    """
    if response.status is not None and 200 <= response.status < 300:
        return Step(verdict="delivered")
    if response.status == 410:
        return Step(verdict="disable")
    after = parse_retry_after(response.retry_after)
    hold = after if response.status in _BUSY else 0.0
    delay = min(first_seconds * STEP ** min(failures, 30), MAX_DELAY_SECONDS)
    delay = max(delay * random.uniform(1 - JITTER, 1 + JITTER), after)  # noqa: S311 - no secret
    left = give_up_seconds - waited_seconds
    if delay > left:
        if left <= 0 or after > left:
            return Step(verdict="dead", hold_seconds=hold)
        delay = left
    return Step(verdict="retry", delay_seconds=delay, hold_seconds=hold)


def parse_retry_after(text: str | None) -> float:
    """Return the seconds of a Retry-After header, a number or a date; 0 without a valid one, at most a day."""
    if text is None:
        return 0.0
    try:
        seconds = float(text) if text.strip().isdecimal() else _seconds_until(parsedate_to_datetime(text))
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)


def _seconds_until(moment: datetime) -> float:
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return (aware - datetime.now(UTC)).total_seconds()
