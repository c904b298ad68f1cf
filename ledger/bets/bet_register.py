"""The register of bets: an append-only list of bets placed, voided and settled, and what follows from it.

What is at stake and the account are kept by the same scripts that write the entries, so that they always agree with
them, and so that two who place bets at the same time cannot exceed a cap together. Bets are kept as long as the ledger.

A bet is settled by the result as it was first announced, as bookmakers do. With the control `resettle_bets` a result
that is overturned later adds a second settlement that reverses the first one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import NoReturn

import msgspec
from msgspec import Struct

from ledger.bets.betting_controls import CAP_CONTROLS, LIMITS, BettingControls
from ledger.contracts.bets import (
    DEFAULT_BANKROLL,
    MAX_AMOUNT,
    BetAccount,
    BetConflictError,
    BetEntry,
    BetMode,
    BetPlaced,
    BetReceipt,
    BetRefusedError,
    BetResult,
    BetSettled,
    BetState,
    BettingRoom,
    BetVoided,
    CapName,
    Exposure,
    PlacedBet,
    UnknownBetError,
    iso_week,
)
from ledger.contracts.codec import check_text, job_refused
from ledger.contracts.controls import Controls
from ledger.contracts.jobs import PredictCard
from ledger.contracts.lazy_decoder import LazyDecoder, convert
from ledger.operations.control_store import ControlStore
from ledger.server.server import Server, to_datetime
from ledger.server.stream_ranges import stream_between

MAX_ENTRIES = 10_000
"""Most entries of one read."""
_MAX_BETS_AT_ONCE = 1_000
_PAGE = 1_000


class StoredBet(Struct, frozen=True, kw_only=True):
    """A bet and its state; `returned` is what came back, None while it is open."""

    bet: PlacedBet
    state: BetState
    returned: int | None = None


class BetRegister:
    """Bets of one ledger."""

    def __init__(self, server: Server, controls: ControlStore) -> None:
        self._server = server
        self._controls = controls

    def place(self, bet: PlacedBet, *, taken: bool = False, once: bool = False) -> BetReceipt:
        """Place a bet, once.

        Parameters
        ----------
        bet
            The bet. Placing the same bet again returns it with `created=False`.
        taken
            The bet was taken at the bookmaker already: record it whatever the caps, the stop and the mode say.
        once
            Refuse a second open bet of the same mode on one fight.

        Raises
        ------
        BetRefusedError
            A cap leaves too little room (`room`), the drawdown stop is reached, betting is off or in another mode, the
            event has started, or a newer job has superseded the answer. Nothing was written.
        BetConflictError
            Another bet has this id.
        JobRefusedError
            The bet contradicts itself.
        LedgerUnavailableError
            The server does not answer; placing again is safe.
        """
        _check_bet(bet)
        written = msgspec.structs.replace(bet, bet_id=bet.id, placed_at=None, beyond_caps=taken)
        verdict, *rest = self._server.run_script(
            "place_bet",
            bet.id,
            bet.mode,
            bet.stake,
            bet.payout,
            bet.fight_id,
            bet.card_id,
            bet.bookmaker,
            bet.week,
            int(bet.event_start.timestamp() * 1000),
            _encoder.encode(written),
            "1" if taken else "",
            "1" if once else "",
            DEFAULT_BANKROLL,
            bet.job_id,
        )
        if verdict == b"refused":
            _raise_refusal(bet, *(part.decode() for part in rest))
        if verdict == b"placed":
            return BetReceipt(bet=_with_time(written, rest[0]), created=True)
        place, stored, state = rest
        known = _decoder.decode(stored)
        if msgspec.structs.replace(known, who=written.who, beyond_caps=taken) != written:
            raise BetConflictError(
                f"bet {bet.id} is another one: {known.stake} on {known.fighter} at {known.price} by {known.bookmaker}; "
                "void it if it is wrong, and give a further bet a `bet_id` (`--bet-id`) of its own"
            )
        return BetReceipt(bet=_with_time(known, place), created=False, state=_state(state))

    def void(
        self, bet_ids: Sequence[str] = (), *, fight_id: str | None = None, user: str, reason: str
    ) -> tuple[str, ...]:
        """Void open bets, all of them or none: those with the given ids and, with `fight_id`, those on that fight.

        Returns the ids of the bets that were voided by this call.

        Raises
        ------
        UnknownBetError
            There is no such bet.
        BetConflictError
            A bet is settled already.
        """
        check_text("user", user)
        check_text("reason", reason)
        chosen = list(bet_ids)
        if fight_id is not None:
            chosen += [bet_id for bet_id, (_, fight) in self._open_ids().items() if fight == fight_id]
        return self._end(dict.fromkeys(chosen, "void"), user, reason)

    def settle(self, results: Mapping[str, BetResult], *, user: str, replace: bool = False) -> tuple[str, ...]:
        """Settle bets by their results, all of them or none; with `replace` also those that are settled otherwise.

        Returns the ids of the bets that were settled by this call; one that has this result already is left as it is.

        Raises
        ------
        UnknownBetError
            There is no such bet.
        BetConflictError
            A bet is settled otherwise, and `replace` is not set.
        """
        check_text("user", user)
        return self._end(results, user, "", replace=replace)

    def entries(self, after: str = "0", limit: int = 1000) -> list[BetEntry]:
        """Return entries after a place ("0": from the first), oldest first. Raises JobRefusedError for no place."""
        parts = after.split("-")
        if len(parts) > 2 or not all(part.isdigit() and len(part) < 20 for part in parts):
            raise job_refused(f"{after[:40]!r} is no place in the register of bets: give that of an entry, or 0")
        return self._range(f"({after}", min(limit, MAX_ENTRIES))

    def entries_between(self, since: datetime, until: datetime) -> Iterator[BetEntry]:
        """Yield the entries made at or after `since` and before `until`, oldest first."""
        for place, fields in stream_between(self._server, self._key("bets"), since, until):
            yield _entry(place.encode(), fields)

    def open_bets(self, mode: BetMode | None = None) -> list[PlacedBet]:
        """Return all open bets, oldest first; with `mode` those of one mode."""
        ids = [bet_id for bet_id, (own, _) in self._open_ids().items() if mode in (None, own)]
        bets = [stored.bet for stored in self._read(ids) if stored is not None and stored.state == "open"]
        return sorted(bets, key=lambda bet: (bet.placed_at, bet.bet_id))

    def get(self, bet_id: str) -> StoredBet:
        """Return a bet. Raises UnknownBetError."""
        [found] = self._read([bet_id])
        if found is None:
            raise _unknown(bet_id)
        return found

    def history(self, bet_id: str) -> list[BetEntry]:
        """Return all entries of a bet, oldest first. Raises UnknownBetError."""
        place = self._server.execute("HGET", self._key("bet", bet_id), "placed")
        if place is None:
            raise _unknown(bet_id)
        found: list[BetEntry] = []
        first = place.decode()
        while entries := self._range(first):
            found += [entry for entry in entries if _bet_of(entry) == bet_id]
            first = f"({entries[-1].place}"
        return found

    def newest(self, limit: int, *, mode: BetMode | None = None) -> list[StoredBet]:
        """Return the bets that were placed last, newest first; with `mode` those of one mode."""
        found: list[StoredBet] = []
        last = "+"
        while len(found) < limit:
            page = self._server.execute("XREVRANGE", self._key("bets"), last, "-", "COUNT", _PAGE)
            if not page:
                break
            placed = [entry for entry in (_entry(*pair) for pair in page) if isinstance(entry, BetPlaced)]
            wanted = [entry.bet.bet_id for entry in placed if mode in (None, entry.bet.mode)]
            found += [stored for stored in self._read(wanted) if stored is not None]
            last = f"({page[-1][0].decode()}"
        return found[:limit]

    def exposure(self, mode: BetMode | None = None) -> Exposure:
        """Return what is at stake, by default in the present mode (paper if betting is off)."""
        limits = self._limits()
        chosen = mode or limits.bet_mode
        account, exposure = self._server.transaction(
            ("HMGET", self._key("bets", "account", chosen), "profit", "peak"),
            ("HGETALL", self._key("bets", "exposure", chosen)),
        )
        bankroll = limits.start + int(account[0] or 0)
        stakes: dict[str, dict[str, int]] = {"fight": {}, "card": {}, "bookmaker": {}, "week": {}}
        total = 0
        for field, amount in exposure.items():
            kind, _, name = field.decode().partition(":")
            if kind == "total":
                total = int(amount)
            else:
                stakes[kind][name] = int(amount)
        return Exposure(
            mode=chosen,
            bankroll=bankroll,
            total=total,
            fights=stakes["fight"],
            cards=stakes["card"],
            bookmakers=stakes["bookmaker"],
            weeks=stakes["week"],
            caps=limits.caps(bankroll),
        )

    def account(self, mode: BetMode | None = None) -> BetAccount:
        """Return the account of a mode, by default of the present one (paper if betting is off)."""
        limits = self._limits()
        chosen = mode or limits.bet_mode
        fields, at_stake = self._server.transaction(
            ("HGETALL", self._key("bets", "account", chosen)),
            ("HGET", self._key("bets", "exposure", chosen), "total"),
        )
        counts = {name.decode(): int(value) for name, value in fields.items()}
        profit, peak = counts.get("profit", 0), counts.get("peak", 0)
        return BetAccount(
            mode=chosen,
            start=limits.start,
            bankroll=limits.start + profit,
            peak=limits.start + peak,
            drawdown=peak - profit,
            stopped=limits.is_stopped(profit, peak),
            staked=counts.get("staked", 0),
            profit=profit,
            open=int(at_stake or 0),
            placed=counts.get("placed", 0),
            open_bets=counts.get("open", 0),
            won=counts.get("won", 0),
            lost=counts.get("lost", 0),
            void=counts.get("void", 0),
        )

    def room(self, card: PredictCard, controls: Controls) -> BettingRoom | None:
        """Return what the caps leave for bets on a card; None if no control limits bets."""
        if LIMITS.isdisjoint(controls.values):
            return None
        limits = BettingControls.from_controls(controls)
        if limits.mode == "off":
            return None
        mode = limits.bet_mode
        fights = [fight.id for fight in card.fights]
        bookmakers = sorted({quote.bookmaker for fight in card.fights for quote in fight.quotes})
        fields = ["total", f"card:{card.card_id}", f"week:{iso_week(card.event_start)}"]
        fields += [f"fight:{fight}" for fight in fights] + [f"bookmaker:{name}" for name in bookmakers]
        account, found = self._server.transaction(
            ("HMGET", self._key("bets", "account", mode), "profit", "peak"),
            ("HMGET", self._key("bets", "exposure", mode), *fields),
        )
        profit, peak = (int(value or 0) for value in account)
        total, own_card, week, *others = (int(value or 0) for value in found)
        bankroll = max(limits.start + profit, 0)
        caps = limits.caps(bankroll)

        def left(cap: CapName, amount: int) -> int | None:
            limit = caps[cap]
            return None if limit is None else max(limit - amount, 0)

        def each(cap: CapName, names: Sequence[str], amounts: Sequence[int]) -> dict[str, int]:
            rooms = {name: left(cap, amount) for name, amount in zip(names, amounts, strict=True)}
            return {name: room for name, room in rooms.items() if room is not None}

        return BettingRoom(
            mode=mode,
            bankroll=bankroll,
            min_stake=limits.min_stake,
            stopped=limits.is_stopped(profit, peak),
            total=left("bankroll", total),
            card=left("card", own_card),
            week=left("week", week),
            fights=each("fight", fights, others[: len(fights)]),
            bookmakers=each("bookmaker", bookmakers, others[len(fights) :]),
        )

    def followed_place(self, follower: str) -> str:
        """Return the place in the stream of outcomes up to which a follower has placed bets, "0" for none."""
        place = self._server.execute("HGET", self._key("bets", "followed"), follower)
        return "0" if place is None else place.decode()

    def remember_place(self, follower: str, place: str) -> None:
        """Store the place up to which a follower has placed bets."""
        self._server.execute("HSET", self._key("bets", "followed"), follower, place)

    def _range(self, first: str, limit: int = 1000) -> list[BetEntry]:
        found = self._server.execute("XRANGE", self._key("bets"), first, "+", "COUNT", limit)
        return [_entry(place, fields) for place, fields in found]

    def _limits(self) -> BettingControls:
        return BettingControls.from_controls(self._controls.current())

    def _open_ids(self) -> dict[str, tuple[str, str]]:
        """Return the mode and the fight of each open bet."""
        found = self._server.execute("HGETALL", self._key("bets", "open"))
        return {
            bet_id.decode(): (mode, fight)
            for bet_id, value in found.items()
            for mode, _, fight in [value.decode().partition(" ")]
        }

    def _read(self, bet_ids: Sequence[str]) -> list[StoredBet | None]:
        if not bet_ids:
            return []
        fields = ("bet", "placed", "state", "returned")
        found = self._server.transaction(*(("HMGET", self._key("bet", bet_id), *fields) for bet_id in bet_ids))
        return [
            None
            if bet is None
            else StoredBet(
                bet=_with_time(_decoder.decode(bet), place),
                state=_state(state),
                returned=None if returned is None else int(returned),
            )
            for bet, place, state, returned in found
        ]

    def _end(
        self, results: Mapping[str, BetResult], user: str, reason: str, *, replace: bool = False
    ) -> tuple[str, ...]:
        if len(results) > _MAX_BETS_AT_ONCE:
            raise job_refused(f"{len(results):,} bets are more than {_MAX_BETS_AT_ONCE:,} at once: use several calls")
        if not results:
            return ()
        pairs = [part for pair in results.items() for part in pair]
        verdict, *rest = self._server.run_script("end_bets", user, reason, "1" if replace else "", *pairs)
        if verdict == b"unknown":
            raise _unknown(rest[0].decode())
        if verdict == b"ended":
            raise BetConflictError(f"bet {rest[0].decode()} has ended as {rest[1].decode()}, nothing was changed")
        return tuple(bet_id for bet_id, place in zip(results, rest, strict=True) if place)

    def _key(self, *parts: str) -> str:
        return self._server.key(*parts)


_encoder = msgspec.json.Encoder(order="sorted")
_decoder: LazyDecoder[PlacedBet] = LazyDecoder(PlacedBet)


def _check_bet(bet: PlacedBet) -> None:
    """Check what types cannot express. Raises JobRefusedError."""
    try:
        convert(msgspec.to_builtins(bet), PlacedBet)
    except msgspec.ValidationError as error:
        raise job_refused(f"the bet cannot be placed: {error}") from error
    check_text("who", bet.who)
    if bet.fighter not in bet.fighters:
        raise job_refused(f"{bet.fighter!r} does not fight in {bet.fight_id!r}: choose one of {list(bet.fighters)}")
    if bet.payout > MAX_AMOUNT:
        raise job_refused(f"a stake of {bet.stake} at {bet.price} may return more than {MAX_AMOUNT}: split it")


def _raise_refusal(bet: PlacedBet, cap: str, about: str, limit: str, room: str) -> NoReturn:
    match cap:
        case "betting":
            message = f"betting is {about}, so that no {bet.mode} bet is placed: change it with the control `betting`"
        case "bankroll" if about == "not set":
            message = "live bets need a bankroll: set the control `bankroll`"
        case "started":
            message = f"the event of fight {bet.fight_id!r} started at {bet.event_start}: it takes no more bets"
        case "superseded":
            message = f"the answer of job {bet.job_id} is superseded by job {about}: bet by that one"
        case "drawdown_stop":
            message = (
                f"the drawdown has reached drawdown_stop ({limit} basis points of the peak): look at "
                "`cornerman bets account`, then raise the stop or leave it"
            )
        case "once":
            message = f"fight {bet.fight_id!r} has an open {bet.mode} bet already: void it first, or place without once"
        case "min_stake":
            message = f"a stake of {bet.stake} is below min_stake ({limit})"
        case _:
            name = CAP_CONTROLS.get(cap, "bankroll")  # type: ignore[call-overload]
            message = f"{name} is {limit} for {about!r}, {room} is left of it, and the stake is {bet.stake}: stake less"
    raise BetRefusedError(cap, message, limit=int(limit) if limit else None, room=int(room) if room else None)


def _unknown(bet_id: str) -> UnknownBetError:
    return UnknownBetError(f"there is no bet {bet_id[:200]!r}: see `cornerman bets list`")


def _state(text: bytes) -> BetState:
    state: BetState = msgspec.convert(text.decode(), BetState)
    return state


def _with_time(bet: PlacedBet, place: bytes) -> PlacedBet:
    return msgspec.structs.replace(bet, placed_at=to_datetime(float(place.partition(b"-")[0])))


def _bet_of(entry: BetEntry) -> str:
    return entry.bet.bet_id if isinstance(entry, BetPlaced) else entry.bet_id


def _entry(place: bytes, fields: Mapping[bytes, bytes]) -> BetEntry:
    name, at = place.decode(), to_datetime(float(place.partition(b"-")[0]))
    values = {field.decode(): value.decode() for field, value in fields.items()}
    if values["entry"] == "placed":
        return BetPlaced(place=name, at=at, bet=_with_time(_decoder.decode(values["bet"]), place))
    about = {"place": name, "at": at, "bet_id": values["bet"], "fight_id": values["fight"], "mode": values["mode"]}
    about["who"] = values["who"]
    if values["entry"] == "voided":
        return convert({**about, "entry": "voided", "reason": values["why"]}, BetVoided)
    return convert(
        {
            **about,
            "entry": "settled",
            "result": values["result"],
            "returned": int(values["returned"]),
            "profit": int(values["profit"]),
            "profit_before": int(values.get("before", 0)),
            "reverses": values.get("reverses"),
        },
        BetSettled,
    )
