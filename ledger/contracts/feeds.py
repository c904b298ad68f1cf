"""Odds feeds as values: what a feed runner retrieved, its budget, and the state of a feed."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

FEED_NAME = "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
"""Names of feeds: they are part of keys, labels and file names."""

FeedName = Annotated[str, Meta(pattern=FEED_NAME)]


class RetrievalRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One retrieval of a feed, as the ledger keeps it.

    Attributes
    ----------
    read_at
        When the payload had arrived, by the ledger's clock; of a dump, when it was retrieved then.
    provider_at
        The provider's moment: the `timestamp` of the payload, or the date of the response; None if it has neither.
    sha256
        Digest of the payload, as hexadecimal digits.
    payload_bytes
        Size of the payload.
    events, quotes
        Events and valid quotes in it.
    invalid_quotes, faults
        Quotes that were left out, and events that were refused.
    changes
        Prices that differ from those of the retrieval before.
    cards
        Cards that made a new job.
    without_prices
        It lists events only, which costs nothing.
    cost
        Credits that the provider counted for it; None if it does not say.
    kept
        Name of the file with the payload, if payloads are kept.
    """

    read_at: datetime
    provider_at: datetime | None = None
    sha256: str
    payload_bytes: int
    events: int = 0
    quotes: int = 0
    invalid_quotes: int = 0
    faults: int = 0
    changes: int = 0
    cards: int = 0
    without_prices: bool = False
    cost: int | None = None
    kept: str | None = None


class FeedBudget(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The credits of a feed until the provider counts from 0 again.

    Attributes
    ----------
    remaining
        Credits that are left, by the last response, and by the own limit if that is less; None if there is no limit.
    used
        Credits used since then, by the last response.
    spent
        Credits that this feed has used of them, which the own limit is about.
    limit
        The own limit; None without one.
    cost
        Credits of one poll of the prices.
    resets_at
        When the provider counts from 0 again.
    coverage
        Share of the polls of the last day and the last hours before the listed events for which the rest suffices, at
        most 1; None if there is no limit.
    """

    remaining: int | None = None
    used: int | None = None
    spent: int = 0
    limit: int | None = None
    cost: int = 1
    resets_at: datetime | None = None
    coverage: float | None = None

    @property
    def exhausted(self) -> bool:
        """True if the rest does not pay for another poll of the prices."""
        return self.remaining is not None and self.remaining < self.cost


class FeedFailure(Struct, frozen=True, kw_only=True):
    """The failures of a feed since its last success: the last one's reason and message, and how many there were."""

    reason: str
    message: str
    at: datetime
    count: int = 1


class FeedState(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a leader leaves for its operators and its successor after each poll.

    Attributes
    ----------
    last_success
        When the feed last answered; None before the first time.
    last_prices
        When its prices were last read.
    tier
        The span before the next event that decides how often it is polled: `near`, `day`, `far` or `idle`.
    interval_seconds
        Time between two polls now.
    next_poll
        When the next poll is due; None after the end of a finite source.
    starts
        Starts of the events that were listed last.
    failure
        The failures since the last success.
    faults
        The events and quotes that the last retrieval refused, one sentence each; at most 20.
    cursor
        Of past prices and dumps: the moment that was read last.
    done
        The source is finite and has been read to its end.
    """

    last_success: datetime | None = None
    last_prices: datetime | None = None
    tier: str = ""
    interval_seconds: float = 0.0
    next_poll: datetime | None = None
    budget: FeedBudget = FeedBudget()
    starts: tuple[datetime, ...] = ()
    failure: FeedFailure | None = None
    faults: tuple[str, ...] = ()
    cursor: datetime | None = None
    done: bool = False


class FeedStatus(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The state of one registered feed.

    Attributes
    ----------
    source
        Where it is read from, without secrets.
    leader
        The feed runner that polls it; None if there is none.
    leader_since
        Since when it leads.
    leaderless_seconds
        How long there has been no leader; 0 if there is one.
    standbys
        Feed runners that would take over.
    attempts
        Polls that were begun since the last one that ended.
    silent_polls
        Polls that should have succeeded since the last success; with no leader, also the leases since it was lost.
    totals
        Counts since the feed was registered: `retrievals`, `quotes`, `changes`, `cards`, `faults`, and
        `failures.<reason>`.
    """

    name: str
    source: str
    registered_at: datetime
    leader: str | None = None
    leader_since: datetime | None = None
    leaderless_seconds: float = 0.0
    standbys: tuple[str, ...] = ()
    state: FeedState = FeedState()
    attempted_at: datetime | None = None
    attempts: int = 0
    silent_polls: float = 0.0
    totals: dict[str, int] = {}
