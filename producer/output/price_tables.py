"""Tables and CSV of price histories. Layout only."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.table import Table
from rich.text import Text

from ledger.contracts.jobs import Quote
from ledger.contracts.prices import PriceChange
from ledger.prices.prices import PriceState
from producer.output.table_parts import NOTHING, wrapping_table

CSV_COLUMNS = ("fight_id", "bookmaker", "fighter", "price", "commission", "read_at", "as_of")


def changes_csv(changes: Iterable[PriceChange]) -> str:
    """Return changes as CSV with a header; a withdrawn price is empty, times are ISO 8601."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for change in changes:
        price = "" if change.price is None else repr(change.price)
        as_of = "" if change.as_of is None else change.as_of.isoformat()
        writer.writerow(
            (
                *(change.fight_id, change.bookmaker, change.fighter, price),
                *(repr(change.commission), change.read_at.isoformat(), as_of),
            )
        )
    return text.getvalue()


def changes_table(fight_id: str, changes: Sequence[PriceChange]) -> Table:
    """Return the table of a fight's price changes."""
    table = wrapping_table(f"Prices of {fight_id}", "read", "bookmaker", "fighter", "price", "provider")
    for change in changes:
        price = "withdrawn" if change.price is None else f"{change.price:.3f}"
        table.add_row(_time(change.read_at), Text(change.bookmaker), Text(change.fighter), price, _time(change.as_of))
    return table


def quotes_table(title: str, quotes: Sequence[Quote]) -> Table:
    """Return the table of quotes, one bookmaker a line."""
    fighters = sorted({name for quote in quotes for name in quote.prices})
    table = wrapping_table(title, "bookmaker", *fighters, "commission", "provider")
    for quote in quotes:
        prices = (f"{quote.prices[name]:.3f}" if name in quote.prices else NOTHING for name in fighters)
        commission = f"{quote.commission:.1%}" if quote.commission else NOTHING
        table.add_row(Text(quote.bookmaker), *prices, commission, _time(quote.as_of))
    return table


def fights_table(states: Sequence[PriceState]) -> Table:
    """Return the table of the fights with prices on the server."""
    table = wrapping_table("Fights with prices on the server", "fight", "start", "last reading")
    for state in states:
        table.add_row(Text(state.fight_id), _time(state.start), _time(state.read_at))
    return table


def _time(moment: datetime | None) -> str:
    return NOTHING if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"
