"""The credits of a feed: what the provider says of them, and what may still be used. Pure functions.

A poll is booked before it is made, and corrected by the headers of its response. So a runner that dies in between has
at worst left credits unused.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from ledger.contracts.feeds import FeedBudget
from producer.feed_runner.poll_plan import reset_after
from producer.feed_runner.settings import FeedSettings


class Usage(Struct, frozen=True, kw_only=True):
    """What the headers of a response say: credits that are left and used, and those of this response."""

    remaining: int | None = None
    used: int | None = None
    last: int | None = None

    @classmethod
    def from_headers(cls, headers: Mapping[str, str]) -> Usage:
        """Read `x-requests-remaining`, `x-requests-used` and `x-requests-last`; what is no number counts as absent."""
        return cls(
            remaining=_count(headers.get("x-requests-remaining")),
            used=_count(headers.get("x-requests-used")),
            last=_count(headers.get("x-requests-last")),
        )


def current(budget: FeedBudget, now: datetime, settings: FeedSettings) -> FeedBudget:
    """Return the budget as it is now: with the limit of the settings, and from 0 if the provider counts again."""
    limit = settings.feed_monthly_budget or None
    if budget.resets_at is None or now >= budget.resets_at:
        budget = FeedBudget(cost=max(budget.cost, 1), resets_at=reset_after(now, settings.feed_budget_reset_day))
        return replace(budget, limit=limit, remaining=limit)
    if limit != budget.limit:
        own = None if limit is None else max(0, limit - budget.spent)
        return replace(budget, limit=limit, remaining=_less(budget.remaining if budget.limit is None else None, own))
    return budget


def booked(budget: FeedBudget, cost: int) -> FeedBudget:
    """Return the budget with a poll that is about to be made."""
    left = None if budget.remaining is None else max(0, budget.remaining - cost)
    return replace(budget, remaining=left, spent=budget.spent + cost)


def settled(before: FeedBudget, usage: Usage, cost: int, unsettled: int = 0) -> FeedBudget:
    """Return the budget after a response, from the one before the poll was booked.

    `cost` is what the poll costs if the provider does not say, and `unsettled` what attempts without a whole response
    may have cost.
    """
    last = (cost if usage.last is None else usage.last) + unsettled
    spent = before.spent + last
    own = None if before.limit is None else max(0, before.limit - spent)
    counted = None if before.remaining is None else max(0, before.remaining - last)
    return replace(
        before,
        remaining=_less(counted if usage.remaining is None else usage.remaining, own),
        used=before.used if usage.used is None else usage.used,
        spent=spent,
    )


def polls_left(budget: FeedBudget) -> int | None:
    """Return how many polls of the prices the budget pays for; None without a limit."""
    return None if budget.remaining is None else budget.remaining // budget.cost


def _less(one: int | None, other: int | None) -> int | None:
    given = [value for value in (one, other) if value is not None]
    return min(given) if given else None


def _count(text: str | None) -> int | None:
    try:
        number = None if text is None else float(text)
    except ValueError:
        return None
    return None if number is None or not 0 <= number < 2**53 else int(number)
