"""Closing prices for fights that have none, from prices that were kept under a feed's ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from engine.data.fight_log_plausibility import MAX_IMPLIED_TOTAL, MIN_IMPLIED_TOTAL
from engine.fight_log_import.changes import CellChange
from engine.fight_log_import.links import LinkTable
from engine.fight_log_import.merging.merge_records import LogRecords
from engine.fight_log_import.merging.source_merge import SIDES
from engine.fight_log_import.name_index import first_side
from engine.fight_log_import.score_feed import SOURCE
from engine.fight_log_import.source_tables import as_cell, is_missing

CloseOf = Callable[[str], Mapping[str, float] | None]
"""Returns the decimal closing price by fighter's name of a feed's fight; None if there is none."""


def attach_closes(records: LogRecords, links: LinkTable, close_of: CloseOf, known_at: str) -> list[CellChange]:
    """Fill in both closing prices of fights that have neither and are linked to a feed; return the changes."""
    changes = []
    for link in links:
        if link.kind != "fight" or link.source != SOURCE or link.log_id not in records.fights:
            continue
        fight = records.fights[link.log_id]
        columns = [f"{side}_decimal_odds" for side in SIDES]
        if not all(is_missing(fight[name]) for name in columns):
            continue
        prices = close_of(link.source_id)
        if prices is None or len(prices) != 2:
            continue
        (first, one), (second, other) = prices.items()
        names = (records.fighters[fight["red_id"]]["name"], records.fighters[fight["blue_id"]]["name"])
        side = first_side(names, (first, second))
        if side is None or not MIN_IMPLIED_TOTAL <= 1 / one + 1 / other <= MAX_IMPLIED_TOTAL:
            continue
        for name, price in zip(columns, (one, other) if side == 0 else (other, one), strict=True):
            fight[name] = price
            changes.append(
                CellChange(known_at, "filled", "fights", link.log_id, "", name, "", as_cell(price), "prices")
            )
    return changes
