"""Results of fights, as operators fed them back: raw names, added once, corrected with a trace.

The ledger does not know who a name means. A result is known by its day and its two names without case and extra spaces;
other spellings of the same fight stand beside it, and the review, which matches names as the engine does, sees that
they are one. Results live with the ledger: some 600 a year, 200 bytes each.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Literal

import msgspec
from msgspec import Struct

from ledger.contracts.codec import check_text, job_refused, normalise_name
from ledger.server.server import Server, to_datetime

MAX_RESULTS_AT_ONCE = 20_000
MAX_RESULT_CHANGES = 100_000

Ending = Literal["won", "draw", "no_contest"]


class FightResult(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a fight ended. winner: the position of who won, None for a draw or a no contest, which no forecast can win.

    fighters: as the source spells them, in any order. batch: tells apart in which order results came to be known; the
    server sets it, and a correction keeps it. first: what it was before it was corrected, as it first came to be known;
    the server knows it, None if it was not corrected.
    """

    date: date
    fighters: tuple[str, str]
    winner: Literal[0, 1] | None
    ending: Ending = "won"
    batch: int = 0
    first: FightResult | None = None

    @property
    def key(self) -> str:
        """What the result is known by."""
        return "|".join((str(self.date), *sorted(map(normalise_name, self.fighters))))


class AddedCounts(Struct, frozen=True, kw_only=True):
    """What became of results that were handed in: new ones, those that were there, those that replaced another."""

    added: int
    unchanged: int
    corrected: int


class FightResultChange(Struct, frozen=True, kw_only=True):
    """A result that came, or replaced another (`before`)."""

    place: str
    who: str
    before: FightResult | None
    after: FightResult


class FightResults:
    """Results of fights."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def add(self, results: Sequence[FightResult], *, user: str) -> AddedCounts:
        """Keep results, all of them or none. Raises JobRefusedError for a text or a result that is none."""
        check_text("user", user)
        if len(results) > MAX_RESULTS_AT_ONCE:
            raise job_refused(f"{len(results):,} results are more than {MAX_RESULTS_AT_ONCE:,} at once: split the file")
        arguments = [part for result in results for part in (result.key, _encoder.encode(_canonical(result)))]
        added, unchanged, corrected = self._server.run_script("results", user, MAX_RESULT_CHANGES, *arguments)
        return AddedCounts(added=added, unchanged=unchanged, corrected=corrected)

    def all(self, since: date | None = None) -> list[FightResult]:
        """Return all results from a day on, in the order in which they came to be known, then of day and names."""
        kept, first = self._server.transaction(
            ("HGETALL", self._server.key("results")), ("HGETALL", self._server.key("results", "first"))
        )
        found = [_read(value, first.get(name)) for name, value in kept.items()]
        chosen = [result for result in found if since is None or result.date >= since]
        return sorted(chosen, key=lambda result: (result.batch, result.date, result.key))

    def changes(self, limit: int = 100) -> list[FightResultChange]:
        """Return the last changes, newest first."""
        entries = self._server.execute("XREVRANGE", self._server.key("results", "changes"), "+", "-", "COUNT", limit)
        return [
            FightResultChange(
                place=place.decode(),
                who=fields[b"who"].decode(),
                before=_decoder.decode(fields[b"from"]) if fields[b"from"] else None,
                after=_decoder.decode(fields[b"to"]),
            )
            for place, fields in entries
        ]


_encoder = msgspec.json.Encoder(order="sorted")
_decoder = msgspec.json.Decoder(FightResult)


def _canonical(result: FightResult) -> FightResult:
    """Put the fighters into the order of their names, so that listing them the other way round is no correction."""
    first, second = result.fighters
    if normalise_name(first) <= normalise_name(second):
        return msgspec.structs.replace(result, batch=0, first=None)
    winner: Literal[0, 1] | None = None if result.winner is None else 0 if result.winner == 1 else 1
    return msgspec.structs.replace(result, fighters=(second, first), winner=winner, batch=0, first=None)


def _read(value: bytes, first: bytes | None) -> FightResult:
    batch, _, text = value.partition(b" ")
    before = None if first is None else msgspec.structs.replace(_decoder.decode(first), batch=int(batch))
    return msgspec.structs.replace(_decoder.decode(text), batch=int(batch), first=before)


def changed_at(change: FightResultChange) -> str:
    """Write when a change was made, to the second."""
    return f"{to_datetime(float(change.place.partition('-')[0])):%Y-%m-%d %H:%M:%S}"
