"""A fight card as an odds service sends it: 12 fights, 4 bookmakers each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ledger.jobs import Fight, Fighter, PredictCard, Quote

FIGHTS, BOOKMAKERS = 12, 4
START = datetime(2099, 1, 1, 22, tzinfo=UTC)


def card(name: str, price: float = 1.8) -> PredictCard:
    """Return a card; its answer is due in another century."""
    fights = tuple(_fight(number, price + number / 100) for number in range(FIGHTS))
    return PredictCard(card_id=name, event_start=START, fights=fights)


def _fight(number: int, price: float) -> Fight:
    red, blue = f"Fighter {number} in the red corner", f"Fighter {number} in the blue corner"
    quotes = tuple(
        Quote(
            bookmaker=f"Bookmaker {book}",
            prices={red: price + book / 50, blue: 2.0 - book / 50},
            as_of=START - timedelta(days=1),
        )
        for book in range(BOOKMAKERS)
    )
    return Fight(
        id=f"fight {number}",
        fighters=(Fighter(name=red), Fighter(name=blue)),
        weight_class="Welterweight",
        scheduled_rounds=3,
        quotes=quotes,
    )
