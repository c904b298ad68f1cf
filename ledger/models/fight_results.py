"""Results of fights as operators report them: raw names, added once, corrected with an audit entry.

The ledger does not identify fighters. A result is known by its day and its two names without case and extra spaces;
other spellings of the same fight are separate entries, which the review, with the engine's fighter names, recognises as
one. Results live with the ledger: some 600 a year, 200 bytes each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Literal

import msgspec
from msgspec import Struct

from ledger.contracts.codec import check_text, job_refused, normalise_name
from ledger.contracts.lazy_decoder import LazyDecoder
from ledger.server.server import Server, to_datetime
from ledger.server.stream_ranges import stream_between

MAX_RESULTS_AT_ONCE = 20_000
MAX_RESULT_CHANGES = 100_000

Ending = Literal["won", "draw", "no_contest"]


class FightResult(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Result of a fight.

    Attributes
    ----------
    fighters
        Names as the source spells them, in any order.
    winner
        Index of the winner, None for a draw or a no contest.
    fight_ids
        Ids under which feeds and other sources know the fight. Ids that are added later join those that are known, and
        are no correction.
    batch
        Orders results by when they became known; set by the server, and kept by a correction.
    first
        The result before its first correction; set by the server, None without a correction. It may be given with a
        new result, if that was overturned before it was added.
    """

    date: date
    fighters: tuple[str, str]
    winner: Literal[0, 1] | None
    ending: Ending = "won"
    fight_ids: tuple[str, ...] = ()
    batch: int = 0
    first: FightResult | None = None

    @property
    def key(self) -> str:
        """Key of the result: the day and both names."""
        return "|".join((str(self.date), *sorted(map(normalise_name, self.fighters))))


class AddedCounts(Struct, frozen=True, kw_only=True):
    """Counts of added results: new, already known, and corrections."""

    added: int
    unchanged: int
    corrected: int


class FightResultChange(Struct, frozen=True, kw_only=True):
    """A new result, or a correction of another (`before`)."""

    place: str
    who: str
    before: FightResult | None
    after: FightResult


class FightResults:
    """Results of fights."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def add(self, results: Sequence[FightResult], *, user: str) -> AddedCounts:
        """Store results, all of them or none. Raises JobRefusedError for an invalid text or result."""
        check_text("user", user)
        if len(results) > MAX_RESULTS_AT_ONCE:
            raise job_refused(f"{len(results):,} results are more than {MAX_RESULTS_AT_ONCE:,} at once: split the file")
        arguments = [part for result in results for part in _arguments(result)]
        added, unchanged, corrected = self._server.run_script("fight_results", user, MAX_RESULT_CHANGES, *arguments)
        return AddedCounts(added=added, unchanged=unchanged, corrected=corrected)

    def all(self, since: date | None = None) -> list[FightResult]:
        """Return all results from a day on, by when they became known, then day and names."""
        kept, first, ids = self._server.transaction(
            ("HGETALL", self._server.key("results")),
            ("HGETALL", self._server.key("results", "first")),
            ("HGETALL", self._server.key("results", "ids")),
        )
        found = [_read(value, first.get(name), ids.get(name)) for name, value in kept.items()]
        chosen = [result for result in found if since is None or result.date >= since]
        return sorted(chosen, key=lambda result: (result.batch, result.date, result.key))

    def days(self) -> set[date]:
        """Return the days that have results."""
        names = self._server.execute("HGETALL", self._server.key("results"))
        return {date.fromisoformat(name.partition(b"|")[0].decode()) for name in names}

    def changes(self, limit: int = 100) -> list[FightResultChange]:
        """Return the last changes, newest first."""
        entries = self._server.execute("XREVRANGE", self._server.key("results", "changes"), "+", "-", "COUNT", limit)
        return [_change_of(place.decode(), fields) for place, fields in entries]

    def changes_between(self, since: datetime, until: datetime) -> Iterator[FightResultChange]:
        """Yield the changes made at or after `since` and before `until`, oldest first."""
        for place, fields in stream_between(self._server, self._server.key("results", "changes"), since, until):
            yield _change_of(place, fields)


_encoder = msgspec.json.Encoder(order="sorted")
_decoder: LazyDecoder[FightResult] = LazyDecoder(FightResult)


def _arguments(result: FightResult) -> tuple[str, bytes, bytes, bytes]:
    ids = msgspec.json.encode(result.fight_ids) if result.fight_ids else b""
    announced = b"" if result.first is None else _encoder.encode(_canonical(result.first))
    return result.key, _encoder.encode(_canonical(result)), ids, announced


def _canonical(result: FightResult) -> FightResult:
    """Sort the fighters by name, so that listing them in the other order is no correction."""
    first, second = result.fighters
    if normalise_name(first) <= normalise_name(second):
        return msgspec.structs.replace(result, fight_ids=(), batch=0, first=None)
    winner: Literal[0, 1] | None = None if result.winner is None else 0 if result.winner == 1 else 1
    fighters = (second, first)
    return msgspec.structs.replace(result, fighters=fighters, winner=winner, fight_ids=(), batch=0, first=None)


def _read(value: bytes, first: bytes | None, ids: bytes | None) -> FightResult:
    batch, _, text = value.partition(b" ")
    fight_ids = () if ids is None else msgspec.json.decode(ids, type=tuple[str, ...])
    before = None if first is None else msgspec.structs.replace(_decoder.decode(first), batch=int(batch))
    return msgspec.structs.replace(_decoder.decode(text), fight_ids=fight_ids, batch=int(batch), first=before)


def _change_of(place: str, fields: Mapping[bytes, bytes]) -> FightResultChange:
    return FightResultChange(
        place=place,
        who=fields[b"who"].decode(),
        before=_decoder.decode(fields[b"from"]) if fields[b"from"] else None,
        after=_decoder.decode(fields[b"to"]),
    )


def changed_at(change: FightResultChange) -> str:
    """Format the time of a change, to the second."""
    return f"{to_datetime(float(change.place.partition('-')[0])):%Y-%m-%d %H:%M:%S}"
