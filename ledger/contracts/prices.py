"""Prices over time: what changed between two readings of a feed."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from ledger.contracts.jobs import Commission, Identifier, Moment, Name, Price


class PriceChange(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A bookmaker's price of one fighter, from this reading on until the next change.

    Attributes
    ----------
    fight_id
        Id of the fight at its source.
    bookmaker, fighter
        Whose price it is, and for whom.
    price
        Decimal price before commission; None if the bookmaker has withdrawn it.
    read_at
        When the price was read, which is when it became known here.
    as_of
        When the provider says that it last saw the price, if it does.
    commission
        Share of the net winnings that an exchange keeps.
    """

    fight_id: Identifier
    bookmaker: Name
    fighter: Name
    price: Price | None
    read_at: Moment
    as_of: Moment | None = None
    commission: Commission = 0.0


class StartReading(Struct, frozen=True, kw_only=True):
    """A reading that listed a fight with this start."""

    fight_id: Identifier
    start: datetime
    read_at: datetime
