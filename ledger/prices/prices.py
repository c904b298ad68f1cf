"""Price history of the fights of feeds: only changes are written, to a stream for each fight.

What is known at a moment is what had been read by then, so a reading that is older than the fight's newest one is left
out: written now, it would change what was known in the past, and the moments of the readings after it are not stored.
Dumps of past readings therefore go in from the oldest to the newest.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType

import msgspec
from msgspec import Struct

from ledger.contracts.codec import job_refused
from ledger.contracts.failures import JobRefusedError
from ledger.contracts.jobs import MAX_PRICE, Fight, PredictCard, Quote
from ledger.contracts.moments import microseconds, to_moment
from ledger.contracts.prices import PriceChange, StartReading
from ledger.jobs import backpressure
from ledger.prices import as_of
from ledger.prices.stream_entries import (
    FightPrices,
    decode_entries,
    fight_arguments,
    last_id,
)
from ledger.server.error_replies import ServerFullError
from ledger.server.server import Server, to_datetime

MAX_AHEAD = timedelta(minutes=1)
"""How far a reading may be ahead of the server's clock. One from the future would make all others late until then."""
QUOTES_PER_STEP = 2_000
"""Number of quotes of a long reading that are compared in one step; between two the server answers others."""
ENTRIES_PER_READ = 1_000
MAX_FAULTS_SHOWN = 10
_NO_STARTS: Mapping[str, datetime] = MappingProxyType({})


class PriceState(Struct, frozen=True, kw_only=True):
    """What is known of a fight besides its prices.

    Attributes
    ----------
    read_at
        Its last reading.
    read_before_start
        Its last reading before the start; None if there was none.
    start
        Its start as the last reading has it; None if no reading gave one.
    archived
        Months of the archive that have prices which are no longer here.
    """

    fight_id: str
    read_at: datetime
    read_before_start: datetime | None
    start: datetime | None
    archived: tuple[str, ...]


class Prices:
    """Price history of the fights that are not archived yet (see `ledger.prices.archive`)."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def record(
        self,
        fights: Sequence[Fight],
        read_at: datetime,
        *,
        starts: Mapping[str, datetime] = _NO_STARTS,
        complete: bool = True,
        skip_faulty: bool = False,
    ) -> int:
        """Store what a reading changes; repeating it, in any number of processes, changes nothing.

        Fights with a newer reading are left as they are.

        Parameters
        ----------
        fights
            The fights of a reading, each once.
        read_at
            When the prices were read, with a time zone; at most a minute ahead of the server's clock.
        starts
            Starts by id of the fight; by default those that `ledger.feeds` knows.
        complete
            The reading has all bookmakers of each fight, so that a missing one has withdrawn its prices.
        skip_faulty
            Leave out faulty fights and quotes instead of refusing the reading. A quote that is left out counts as
            missing.

        Returns
        -------
        int
            The number of changed prices.

        Raises
        ------
        JobRefusedError
            A price or a moment is impossible, or a quote is of another fighter; nothing was written, and `faults` in
            the details lists every fault. Or the server has no memory for new prices.
        LedgerUnavailableError
            The server does not answer; recording the same reading again is safe.
        """
        sound, faults = sound_fights(fights, starts)
        if faults and not skip_faulty:
            more = f"; and {len(faults) - MAX_FAULTS_SHOWN} more" if len(faults) > MAX_FAULTS_SHOWN else ""
            raise job_refused(f"no price was recorded: {'; '.join(faults[:MAX_FAULTS_SHOWN])}{more}", faults=faults)
        read = microseconds(read_at, "read_at")
        return sum(self._record(step, read, starts, complete) for step in _steps(sound))

    def record_cards(
        self, cards: Sequence[PredictCard], read_at: datetime, *, complete: bool = True, skip_faulty: bool = False
    ) -> int:
        """Store what a reading of cards changes, with the starts of their events. Returns and raises as `record`."""
        starts = {fight.id: card.event_start for card in cards for fight in card.fights}
        fights = [fight for card in cards for fight in card.fights]
        return self.record(fights, read_at, starts=starts, complete=complete, skip_faulty=skip_faulty)

    def history(self, fight_id: str) -> tuple[PriceChange, ...]:
        """Return all changes of a fight's prices in the order of reading; none if the fight is unknown or archived."""
        return self.read(fight_id).changes

    def quotes_at(self, fight_id: str, moment: datetime) -> tuple[Quote, ...]:
        """Return the quotes that stood at a moment, by bookmaker; a reading after the moment is never seen."""
        return as_of.quotes_at(self.read(fight_id, until=moment).changes, moment)

    def close(self, fight_id: str, bell: datetime | None = None) -> tuple[Quote, ...]:
        """Return the close of a fight: of each bookmaker the last quote that was read before the bell.

        Parameters
        ----------
        fight_id
            Id of the fight.
        bell
            Start of the fight; by default the last one that a reading gave. No quotes if none is known.
        """
        found = self.read(fight_id)
        bell = bell or last_start(found.starts)
        return () if bell is None else as_of.close_of(found.changes, bell)

    def state(self, fight_id: str) -> PriceState | None:
        """Return the state of a fight, also of an archived one; None if it was never read."""
        return self.states([fight_id])[0]

    def states(self, fight_ids: Sequence[str]) -> list[PriceState | None]:
        """Return the states of fights in the same order, as `state` does."""
        fields = ("read", "before", "start", "archived")
        commands = [("HMGET", self._server.key("quotes", fight_id), *fields) for fight_id in fight_ids]
        replies = self._server.transaction(*commands) if commands else []
        return [_state(fight_id, reply) for fight_id, reply in zip(fight_ids, replies, strict=True)]

    def fights(self) -> list[str]:
        """Return the ids of the fights that are not archived, the earliest start first."""
        names = self._server.execute("ZRANGEBYSCORE", self._server.key("priced"), "-inf", "+inf")
        return [name.decode() for name in names]

    def read_whole(self, fight_id: str) -> tuple[FightPrices, str]:
        """Return the history of a fight, and the id of its newest entry, '' if there is none."""
        entries = list(self._entries(fight_id, "+"))
        return decode_entries(fight_id, entries), entries[-1][0].decode() if entries else ""

    def drop_archived(self, fight_id: str, newest: str, month: str) -> bool:
        """Remove the prices of a fight that are in a month of the archive, '' if it had none.

        Returns False, and nothing is removed, if there are newer prices than those.
        """
        return bool(self._server.run_script("drop_prices", fight_id, newest, month))

    def read(self, fight_id: str, until: datetime | None = None) -> FightPrices:
        """Return the history of a fight, by default all of it, else what was read until a moment."""
        last = "+" if until is None else last_id(microseconds(until, "moment"))
        return decode_entries(fight_id, self._entries(fight_id, last))

    def _entries(self, fight_id: str, last: str) -> Iterator[tuple[bytes, dict[bytes, bytes]]]:
        key, first = self._server.key("prices", fight_id), "-"
        while True:
            page = self._server.execute("XRANGE", key, first, last, "COUNT", ENTRIES_PER_READ)
            yield from page
            if len(page) < ENTRIES_PER_READ:
                return
            first = f"({page[-1][0].decode()}"

    def _record(self, fights: Iterable[Fight], read: int, starts: Mapping[str, datetime], complete: bool) -> int:
        arguments = [part for fight in fights for part in fight_arguments(fight, starts.get(fight.id))]
        ahead = MAX_AHEAD // timedelta(microseconds=1)
        try:
            changed, *rest = self._server.run_script("record_prices", read, ahead, int(complete), *arguments)
        except ServerFullError as error:
            raise JobRefusedError(backpressure.out_of_memory()) from error
        if changed < 0:
            raise job_refused(
                f"the reading of {to_moment(read).isoformat()} is {rest[0] / 1000:.0f} s ahead of the server's clock, "
                f"at most {MAX_AHEAD.total_seconds():.0f} s are accepted: set this machine's clock",
                field="read_at",
            )
        return int(changed)


def _state(fight_id: str, reply: Sequence[bytes | None]) -> PriceState | None:
    read, before, start, archived = reply
    if read is None:
        return None
    return PriceState(
        fight_id=fight_id,
        read_at=to_moment(int(read)),
        read_before_start=None if before is None else to_moment(int(before)),
        start=None if start is None else to_datetime(start),
        archived=tuple((archived or b"").decode().split()),
    )


def last_start(starts: Sequence[StartReading]) -> datetime | None:
    """Return the start that the last reading gave, None if no reading gave one."""
    return starts[-1].start if starts else None


def sound_fights(fights: Sequence[Fight], starts: Mapping[str, datetime]) -> tuple[list[Fight], list[str]]:
    """Return the fights and quotes without a fault, and a message for each fault."""
    sound: dict[str, Fight] = {}
    faults: list[str] = []
    for fight in fights:
        where = f"fight {fight.id!r}"
        names = {fighter.name for fighter in fight.fighters}
        found: list[str] = []
        if fight.id in sound:
            found.append(f"{where} appears twice")
        if len(names) < 2:
            found.append(f"{where}: {fight.fighters[0].name!r} cannot be both fighters")
        if fight.id in starts and starts[fight.id].tzinfo is None:
            found.append(f"{where}: its start {starts[fight.id].isoformat()} has no time zone")
        faults += found
        if found:
            continue
        quotes: dict[str, Quote] = {}
        for quote in fight.quotes:
            problems = _problems(quote, names)
            if quote.bookmaker in quotes:
                problems.append("quotes the fight twice")
            if not problems:
                quotes[quote.bookmaker] = quote
            faults += (f"{where}: {quote.bookmaker} {problem}" for problem in problems)
        sound[fight.id] = msgspec.structs.replace(fight, quotes=tuple(quotes.values()))
    return list(sound.values()), faults


def _problems(quote: Quote, names: set[str]) -> list[str]:
    problems = []
    if quote.prices.keys() != names:
        problems.append(f"prices {sorted(quote.prices)}, but the fighters are {sorted(names)}")
    problems += (
        f"prices {fighter!r} at {price}, outside the prices above 1 and up to {MAX_PRICE:g}"
        for fighter, price in quote.prices.items()
        if not (math.isfinite(price) and 1 < price <= MAX_PRICE)
    )
    if not 0 <= quote.commission < 1:
        problems.append(f"has a commission of {quote.commission}, outside 0 to 1")
    if quote.as_of is not None and quote.as_of.tzinfo is None:
        problems.append(f"has an as_of without a time zone: {quote.as_of.isoformat()}")
    return problems


def _steps(fights: Iterable[Fight]) -> Iterator[list[Fight]]:
    step: list[Fight] = []
    quotes = 0
    for fight in fights:
        if step and quotes + len(fight.quotes) > QUOTES_PER_STEP:
            yield step
            step, quotes = [], 0
        step.append(fight)
        quotes += len(fight.quotes) + 1
    if step:
        yield step
