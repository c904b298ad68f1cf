"""The feeds of one ledger: their leads, their state, what each retrieval brought, and the fights that they listed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec
from msgspec import Struct

from ledger.contracts.codec import job_refused
from ledger.contracts.failures import NotFoundError
from ledger.contracts.feeds import FeedState, FeedStatus, RetrievalRecord
from ledger.feeds.feed_leases import FeedLeases
from ledger.feeds.fight_changes import FightChanges
from ledger.feeds.listed_fights import ListedFights
from ledger.server.server import Server, to_datetime

MAX_RETRIEVALS = 20_000
"""About two weeks at one retrieval a minute; 300 bytes each."""
MAX_MARKS = 100_000

_states = msgspec.json.Decoder(FeedState)
_retrievals = msgspec.json.Decoder(RetrievalRecord)


class UnknownFeedError(NotFoundError):
    """No feed is registered under this name."""


class DumpMark(Struct, frozen=True):
    """The identity of a dump that was read: its moment and the digest of its content."""

    moment: datetime
    sha256: str

    def __str__(self) -> str:
        return f"{self.moment.isoformat()} {self.sha256}"


class Feeds(ListedFights):
    """Feeds that feed runners read, and what all readers of feeds share.

    Attributes
    ----------
    leases
        Who leads each feed.
    changes
        What has changed about listed fights.
    """

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self.leases = FeedLeases(server)
        self.changes = FightChanges(server)

    def begin_poll(self, name: str, state: FeedState) -> int:
        """Note that a poll begins, with the state that holds if it never ends; return the number of unended polls.

        Raises LeadershipLostError if `Server.fence` is that of an earlier leader.
        """
        return int(self._server.run_script("feed_attempt", name, msgspec.json.encode(state)))

    def end_poll(
        self,
        name: str,
        state: FeedState,
        *,
        retrieval: RetrievalRecord | None = None,
        mark: DumpMark | None = None,
        totals: Mapping[str, int],
    ) -> None:
        """Note how a poll ended.

        Parameters
        ----------
        name
            Name of the feed.
        state
            The feed's state from now on.
        retrieval
            What was read; None after a failure.
        mark
            The mark of a dump, which is not to be read again.
        totals
            By how much each total grows.

        Raises
        ------
        LeadershipLostError
            `Server.fence` is that of an earlier leader.
        """
        self._server.run_script(
            "feed_record",
            name,
            msgspec.json.encode(state),
            b"" if retrieval is None else msgspec.json.encode(retrieval),
            MAX_RETRIEVALS,
            "" if mark is None else str(mark),
            "" if mark is None else int(mark.moment.timestamp() * 1000),
            MAX_MARKS,
            *(part for total in totals.items() if total[1] for part in total),
        )

    def marks(self, name: str) -> set[str]:
        """Return the marks of the dumps that were read, as text."""
        key = self._server.key("feed", name, "marks")
        return {mark.decode() for mark in self._server.execute("ZRANGEBYSCORE", key, "-inf", "+inf")}

    def retrievals(self, name: str, limit: int = 100) -> list[RetrievalRecord]:
        """Return the last retrievals, newest first."""
        key = self._server.key("feed", name, "retrievals")
        entries = self._server.execute("XREVRANGE", key, "+", "-", "COUNT", limit)
        return [_retrievals.decode(fields[b"retrieval"]) for _, fields in entries]

    def names(self) -> list[str]:
        """Return the names of the registered feeds."""
        return sorted(name.decode() for name in self._server.execute("HGETALL", self._server.key("feeds")))

    def all(self) -> list[FeedStatus]:
        """Return the state of every registered feed, by name."""
        registered = self._server.execute("HGETALL", self._server.key("feeds"))
        return [self._status(name.decode(), to_datetime(at)) for name, at in sorted(registered.items())]

    def status(self, name: str) -> FeedStatus:
        """Return the state of a feed. Raises UnknownFeedError."""
        at = self._server.execute("HGET", self._server.key("feeds"), name)
        if at is None:
            raise self._unknown(name)
        return self._status(name, to_datetime(at))

    def remove(self, name: str) -> None:
        """Forget a feed. Raises UnknownFeedError, and JobRefusedError if a runner leads it."""
        reply = self._server.run_script("feed_remove", name)
        if reply[0] == b"led":
            raise job_refused(f"{reply[1].decode()} runs the feed {name!r}: stop it first")
        if reply[0] == b"unknown":
            raise self._unknown(name)

    def _unknown(self, name: str) -> UnknownFeedError:
        return UnknownFeedError(f"no feed is registered as {name!r}; registered: {', '.join(self.names()) or 'none'}")

    def _status(self, name: str, registered_at: datetime) -> FeedStatus:
        key = self._server.key("feed", name)
        kept, runners, totals = self._server.transaction(
            ("HGETALL", key), ("HGETALL", f"{key}:runners"), ("HGETALL", f"{key}:totals")
        )
        now = self._server.time()
        state = _states.decode(kept[b"state"]) if b"state" in kept else FeedState()
        lease_seconds, until = int(kept.get(b"lease", 0)) / 1000, int(kept.get(b"until", 0)) / 1000
        leader = kept.get(b"leader", b"").decode() if until > now else ""
        since = kept.get(b"attempted")
        leaderless = 0.0 if leader else max(0.0, now - until)
        alive = {runner.decode() for runner, at in runners.items() if now - int(at) / 1000 < 3 * lease_seconds}
        return FeedStatus(
            name=name,
            source=kept.get(b"source", b"").decode(),
            registered_at=registered_at,
            leader=leader or None,
            leader_since=to_datetime(kept[b"since"]) if leader else None,
            leaderless_seconds=leaderless,
            standbys=tuple(sorted(alive - {leader})),
            state=state,
            attempted_at=None if since is None else to_datetime(since),
            attempts=int(kept.get(b"attempts", 0)),
            silent_polls=_silent_polls(state, registered_at, now, leaderless / lease_seconds if lease_seconds else 0.0),
            totals={total.decode(): int(count) for total, count in sorted(totals.items())},
        )


def _silent_polls(state: FeedState, registered_at: datetime, now: float, leaderless_leases: float) -> float:
    """Return how many polls should have succeeded since the last success; see `FeedStatus.silent_polls`."""
    if state.done:
        return 0.0
    began = state.last_success or registered_at
    missed = max(0.0, now - began.timestamp()) / state.interval_seconds if state.interval_seconds else 0.0
    return max(missed, leaderless_leases)
