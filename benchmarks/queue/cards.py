"""A fight card as an odds service sends it, 12 fights with 4 bookmakers each, and a report of it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from ledger.contracts.jobs import Fight, Fighter, PredictCard, Quote
from ledger.contracts.reports import (
    Bet,
    CardReport,
    Decision,
    FighterAnswer,
    FightReport,
    Interval,
    Market,
    MarketAware,
)

FIGHTS, BOOKMAKERS = 12, 4
START = datetime(2099, 1, 1, 22, tzinfo=UTC)


def card(name: str, price: float = 1.8) -> PredictCard:
    """Return a card whose deadline is in another century."""
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


def report(asked: PredictCard) -> CardReport:
    """Return a report as large as a real one: with every part, and every number in full precision."""
    return CardReport(
        card_id=asked.card_id,
        model="0" * 64,
        data_cutoff=date(2026, 1, 1),
        fights=tuple(_answered(fight) for fight in asked.fights),
    )


def _answered(fight: Fight) -> FightReport:
    red, blue = fight.fighters
    return FightReport(
        id=fight.id,
        fighters=(_side(red.name, 2 / 3), _side(blue.name, 1 / 3)),
        decision=Decision(action="abstain", reasons=("price_too_low", "high_uncertainty")),
        market=Market(method="power", bookmakers=tuple(quote.bookmaker for quote in fight.quotes), overround=1.05),
    )


def _side(name: str, p: float) -> FighterAnswer:
    levels = (0.8, 0.95)
    return FighterAnswer(
        name=name,
        fighter_id=name.casefold(),
        probability=p,
        intervals=tuple(Interval(level=level, lower=p / 3, upper=p / 3 + 0.6, method="anchored") for level in levels),
        sampling_interval=Interval(level=0.95, lower=p / 3, upper=p, method="bootstrap_percentile"),
        members={"random_forest": p / 1.1, "xgboost": p / 1.2, "neural_network": p / 1.3},
        market_probability=p / 1.05,
        market_aware=MarketAware(
            probability=p / 1.01,
            band=tuple(Interval(level=level, lower=p / 3, upper=p, method="market_assumption") for level in levels),
        ),
        best=Bet(
            bookmaker="Bookmaker 0",
            price=1.8,
            expected_value=p / 7,
            expected_value_lower=p / 9,
            kelly_fraction=p / 11,
            kelly_fraction_lower=p / 13,
        ),
    )
