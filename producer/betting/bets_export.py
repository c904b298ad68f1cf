"""The register of bets as a table, a row for each bet with what became of it, in CSV or Parquet."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from ledger.contracts.bets import BetMode, BetPlaced, BetSettled, BetState, BetVoided, PlacedBet
from ledger.contracts.codec import job_refused
from ledger.contracts.job_reports.bets_report import rules_digest
from ledger.ledger import Ledger
from producer.errors import NotInstalledError

Format = Literal["csv", "parquet"]
_ENTRIES_AT_ONCE = 5_000


class BetRow(Struct, frozen=True, kw_only=True):
    """A bet and what became of it.

    Attributes
    ----------
    opponent
        The other fighter.
    rules
        Digest of the rules by which the bet was decided.
    returned, profit
        What came back, and that minus the stake; None while the bet is open, 0 profit if it does not count.
    ended_at
        When the bet was settled or voided, the last time if it was settled again.
    reason
        Why it was voided.
    """

    bet_id: str
    mode: BetMode
    state: BetState
    placed_at: datetime | None
    event_start: datetime
    card_id: str
    fight_id: str
    job_id: str
    fighter: str
    opponent: str
    bookmaker: str
    price: float
    commission: float
    stake: int
    probability: float | None
    lower: float | None
    rules: str
    who: str
    beyond_caps: bool
    returned: int | None = None
    profit: int | None = None
    ended_at: datetime | None = None
    reason: str | None = None


def bet_rows(
    ledger: Ledger, *, mode: BetMode | None = None, since: datetime | None = None, until: datetime | None = None
) -> list[BetRow]:
    """Return the bets on cards that begin at or after `since` and before `until`, in the order of placing."""
    rows: dict[str, BetRow] = {}
    place = "0"
    while entries := ledger.bets.entries(place, _ENTRIES_AT_ONCE):
        for entry in entries:
            if isinstance(entry, BetPlaced):
                if _is_wanted(entry.bet, mode, since, until):
                    rows[entry.bet.id] = _row(entry.bet)
            elif entry.bet_id in rows:
                rows[entry.bet_id] = _ended(rows[entry.bet_id], entry)
        place = entries[-1].place
    return [*rows.values()]


def write_bets(rows: Iterable[BetRow], path: Path, kind: Format) -> None:
    """Write bets to a file, which appears when it is complete, in place of an older one.

    Raises JobRefusedError if it cannot be written, NotInstalledError if Parquet is asked for without pyarrow.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            _WRITERS[kind](rows, unfinished)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise job_refused(f"{path} cannot be written: {error.strerror or error}") from error


def _is_wanted(bet: PlacedBet, mode: BetMode | None, since: datetime | None, until: datetime | None) -> bool:
    begins_within = (since is None or bet.event_start >= since) and (until is None or bet.event_start < until)
    return begins_within and mode in (None, bet.mode)


def _row(bet: PlacedBet) -> BetRow:
    first, second = bet.fighters
    return BetRow(
        bet_id=bet.id,
        mode=bet.mode,
        state="open",
        placed_at=bet.placed_at,
        event_start=bet.event_start,
        card_id=bet.card_id,
        fight_id=bet.fight_id,
        job_id=bet.job_id,
        fighter=bet.fighter,
        opponent=second if bet.fighter == first else first,
        bookmaker=bet.bookmaker,
        price=bet.price,
        commission=bet.commission,
        stake=bet.stake,
        probability=bet.probability,
        lower=bet.lower,
        rules=rules_digest(bet.rules),
        who=bet.who,
        beyond_caps=bet.beyond_caps,
    )


def _ended(row: BetRow, entry: BetVoided | BetSettled) -> BetRow:
    if isinstance(entry, BetSettled):
        changes: dict[str, Any] = {"state": entry.result, "returned": entry.returned, "profit": entry.profit}
    else:
        changes = {"state": "void", "returned": row.stake, "profit": 0, "reason": entry.reason}
    return msgspec.structs.replace(row, **changes, ended_at=entry.at)


def _values(row: BetRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in BetRow.__struct_fields__}


def _write_csv(rows: Iterable[BetRow], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, BetRow.__struct_fields__)
        writer.writeheader()
        for row in rows:
            writer.writerow(
                {
                    name: value.isoformat() if isinstance(value, datetime) else value
                    for name, value in _values(row).items()
                }
            )


def _write_parquet(rows: Iterable[BetRow], path: Path) -> None:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise NotInstalledError("pyarrow is not installed; get it with: pip install 'cornerman[engine]'") from None
    moment = pa.timestamp("us", tz="UTC")
    types = dict.fromkeys(("placed_at", "event_start", "ended_at"), moment)
    types |= dict.fromkeys(("stake", "returned", "profit"), pa.int64())
    types |= dict.fromkeys(("price", "commission", "probability", "lower"), pa.float64())
    types |= {"beyond_caps": pa.bool_()}
    schema = pa.schema([(name, types.get(name, pa.string())) for name in BetRow.__struct_fields__])
    parquet.write_table(pa.Table.from_pylist([_values(row) for row in rows], schema=schema), path, compression="zstd")


_WRITERS = {"csv": _write_csv, "parquet": _write_parquet}
