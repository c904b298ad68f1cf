"""Tables of bets: the register, what is at stake, the account."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from ledger.bets.bet_register import StoredBet
from ledger.contracts.bets import BetAccount, BetPlaced, BetSettled, BetVoided, CapName, Exposure, PlacedBet
from producer.output.numbers import NOTHING
from producer.output.report_tables import records_table


def bets_table(title: str, bets: Sequence[StoredBet]) -> Table:
    """Return a table of bets with their states."""
    rows = [{**_row(stored.bet), "state": stored.state, "returned": stored.returned} for stored in bets]
    return records_table(title, [*_COLUMNS, "state", "returned"], rows)


def entries_table(entries: Sequence[BetPlaced | BetVoided | BetSettled]) -> Table:
    """Return a table of the entries of a bet."""
    return records_table("Entries", ["at", "entry", "who", "what"], map(_entry_row, entries))


def exposure_tables(exposure: Exposure) -> list[Table]:
    """Return what is at stake, for each cap that there is a stake under."""
    groups: tuple[tuple[str, CapName, dict[str, int]], ...] = (
        ("all bets", "bankroll", {"all bets": exposure.total}),
        ("fight", "fight", exposure.fights),
        ("card", "card", exposure.cards),
        ("bookmaker", "bookmaker", exposure.bookmakers),
        ("week", "week", exposure.weeks),
    )
    rows = [
        {
            "of": kind,
            "name": name,
            "open": _amount(stake),
            "cap": _amount(limit),
            "left": _amount(None if limit is None else limit - stake),
        }
        for kind, cap, stakes in groups
        for limit in [exposure.caps[cap]]
        for name, stake in sorted(stakes.items())
    ]
    return [records_table(f"Open stakes, {exposure.mode}", ["of", "name", "open", "cap", "left"], rows)]


def account_table(account: BetAccount) -> Table:
    """Return the account of a mode."""
    rows = [
        {"what": "bankroll", "value": _amount(account.bankroll)},
        {"what": "of it open", "value": _amount(account.open)},
        {"what": "paid in", "value": _amount(account.start)},
        {"what": "profit", "value": _amount(account.profit)},
        {"what": "staked on won and lost bets", "value": _amount(account.staked)},
        {"what": "peak", "value": _amount(account.peak)},
        {"what": "drawdown", "value": f"{_amount(account.drawdown)} ({account.drawdown_share:.1%})"},
        {"what": "drawdown stop", "value": "reached" if account.stopped else NOTHING},
        {
            "what": "bets",
            "value": f"{account.placed} placed: {account.open_bets} open, {account.won} won, {account.lost} lost, "
            f"{account.void} void",
        },
    ]
    return records_table(f"Account, {account.mode}", ["what", "value"], rows)


_COLUMNS = ("bet_id", "placed", "mode", "fighter", "against", "bookmaker", "price", "stake", "event", "who")


def _row(bet: PlacedBet) -> dict[str, Any]:
    return {
        "bet_id": bet.bet_id,
        "placed": NOTHING if bet.placed_at is None else f"{bet.placed_at:%Y-%m-%d %H:%M:%S}",
        "mode": bet.mode,
        "fighter": bet.fighter,
        "against": next((name for name in bet.fighters if name != bet.fighter), NOTHING),
        "bookmaker": bet.bookmaker,
        "price": f"{bet.price:g}",
        "stake": _amount(bet.stake),
        "event": f"{bet.event_start:%Y-%m-%d %H:%M}",
        "who": bet.who,
    }


def _entry_row(entry: BetPlaced | BetVoided | BetSettled) -> dict[str, Any]:
    row: dict[str, Any] = {"at": f"{entry.at:%Y-%m-%d %H:%M:%S}", "entry": str(entry.__struct_config__.tag)}
    match entry:
        case BetPlaced():
            beyond = ", recorded beyond the caps" if entry.bet.beyond_caps else ""
            what = f"{_amount(entry.bet.stake)} on {entry.bet.fighter} at {entry.bet.price:g}{beyond}"
            return {**row, "who": entry.bet.who, "what": what}
        case BetVoided():
            return {**row, "who": entry.who, "what": entry.reason}
        case BetSettled():
            instead = "" if entry.reverses is None else f", instead of {entry.profit_before:+,}"
            return {**row, "who": entry.who, "what": f"{entry.result}: {entry.profit:+,}{instead}"}


def _amount(value: int | None) -> str:
    return NOTHING if value is None else f"{value:,}"
