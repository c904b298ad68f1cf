"""Changes of the fights of a feed: each is stored once, first as pending, then with what became of the bets on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

import msgspec
from msgspec import Struct

from ledger.contracts.bouts import DAY
from ledger.contracts.failures import JobRefusedError
from ledger.contracts.fight_changes import FightChange, ListedState
from ledger.contracts.moments import microseconds
from ledger.jobs import backpressure
from ledger.server.error_replies import ServerFullError
from ledger.server.server import Server
from ledger.server.stream_ranges import stream_between

MAX_CHANGES = 10_000
"""About how many changes of a feed are kept, some 400 bytes each."""
UNLISTED_KEPT = 30 * DAY
"""How long after its start a withdrawn fight is known as withdrawn: no bets on it are taken any more."""
KEPT_AFTER_START = 2 * DAY
"""How long after its start a fight is compared with later readings; more than two starts of one bout differ."""


class ListedFeed(Struct, frozen=True, kw_only=True):
    """The fights of a feed by id, and the last reading with which they were compared, in microseconds since 1970."""

    compared: int
    fights: dict[str, ListedState]


class FightChanges:
    """Changes of the fights of all feeds of a ledger."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def listed(self, feed: str) -> ListedFeed:
        """Return the fights that a feed has listed."""
        compared, fights = self._server.transaction(
            ("HGET", self._key(feed), "compared"), ("HGETALL", self._key(feed, "fights"))
        )
        return ListedFeed(
            compared=int(compared or 0), fights={name.decode(): _states.decode(state) for name, state in fights.items()}
        )

    def store(
        self,
        feed: str,
        before: ListedFeed,
        read_at: datetime,
        *,
        changed: Mapping[str, ListedState],
        removed: Iterable[str],
        changes: Sequence[FightChange],
    ) -> bool:
        """Store what a reading changes, in one step.

        Returns
        -------
        bool
            False, and nothing is stored, if another process has compared a reading since `before` was read.

        Raises
        ------
        JobRefusedError
            The server has no memory for it.
        LeadershipLostError
            `Server.fence` is that of an earlier leader.
        """
        arguments: list[str | bytes] = []
        for name, state in changed.items():
            arguments += (name, msgspec.json.encode(state))
        for name in removed:
            arguments += (name, "")
        pending = [part for change in changes for part in (change.id, msgspec.json.encode(change))]
        try:
            reply = self._server.run_script(
                "fight_changes",
                feed,
                before.compared,
                microseconds(read_at, "read_at"),
                (read_at - UNLISTED_KEPT).date().isoformat(),
                len(arguments) // 2,
                *arguments,
                *pending,
            )
        except ServerFullError as error:
            raise JobRefusedError(backpressure.out_of_memory()) from error
        return bool(reply)

    def pending(self, feed: str) -> list[FightChange]:
        """Return the changes that are not dealt with, in the order of readings."""
        found = self._server.execute("HGETALL", self._key(feed, "pending"))
        return sorted((_changes.decode(value) for value in found.values()), key=lambda change: order_of(change.id))

    def plan(self, change: FightChange) -> FightChange:
        """Store which bets a pending change ends, and return the change with the first plan that was stored."""
        return _changes.decode(self._end(change, done=False))

    def finish(self, change: FightChange) -> None:
        """Move a pending change to those that are dealt with; it stays one change however often this is called."""
        self._end(change, done=True)

    def events(self, feed: str, *, after: str = "-", limit: int = 100) -> list[tuple[str, FightChange]]:
        """Return the last changes that are dealt with and their places in the stream, newest first.

        Parameters
        ----------
        feed
            Name of the feed.
        after
            Only those after this place; by default all that are kept.
        limit
            At most how many.
        """
        first = "-" if after == "-" else f"({after}"
        found = self._server.execute("XREVRANGE", self._key(feed, "events"), "+", first, "COUNT", limit)
        return [(place.decode(), _changes.decode(fields[b"change"])) for place, fields in found]

    def events_between(self, feed: str, since: datetime, until: datetime) -> Iterator[tuple[str, FightChange]]:
        """Yield the changes that were dealt with at or after `since` and before `until`, oldest first, with places."""
        for place, fields in stream_between(self._server, self._key(feed, "events"), since, until):
            yield place, _changes.decode(fields[b"change"])

    def unlisted(self, fight_ids: Iterable[str]) -> dict[str, FightChange]:
        """Return those of some fights on which no bet should be placed, with the change that says why.

        They are withdrawn, or one of their fighters was replaced after the answers that the caller may have.
        """
        names = list(fight_ids)
        found = self._server.execute("HMGET", self._server.key("unlisted"), *names) if names else []
        return {name: _changes.decode(value) for name, value in zip(names, found, strict=True) if value is not None}

    def _end(self, change: FightChange, *, done: bool) -> bytes:
        reply: bytes = self._server.run_script(
            "fight_change_ends",
            change.feed,
            change.id,
            msgspec.json.encode(change),
            "1" if done else "",
            MAX_CHANGES,
        )
        return reply

    def _key(self, feed: str, *parts: str) -> str:
        return self._server.key("feed", feed, *parts)


_states = msgspec.json.Decoder(ListedState)
_changes = msgspec.json.Decoder(FightChange)


def change_id(read_at: datetime, number: int) -> str:
    """Return the id of one of the changes that a reading shows."""
    return f"{microseconds(read_at, 'read_at')}-{number}"


def order_of(identity: str) -> tuple[int, int]:
    """Return a sort key of an id: the reading, and the place among its changes."""
    reading, _, number = identity.partition("-")
    return int(reading), int(number)
