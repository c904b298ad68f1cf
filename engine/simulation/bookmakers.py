"""The bookmakers of a simulated league: noisy estimates of the true probabilities, a margin, whole American odds."""

from __future__ import annotations

from datetime import datetime

import numpy as np
from scipy.special import expit, logit

from engine.arrays import Floats
from engine.market.devigging import add_margin
from engine.market.odds import american_to_decimal, decimal_to_american
from engine.market.quotes import BookmakerQuote

BOOKMAKER_OVERROUNDS = {
    "Northgate": 1.030,
    "Blue Corner": 1.035,
    "Harbour Bet": 1.040,
    "Old Exchange": 1.040,
    "Ringside": 1.045,
    "Three Crowns": 1.050,
    "Parlour": 1.055,
    "Southpaw Sports": 1.065,
}
"""Overround of each bookmaker of the league, by name."""


def draw_market_logit(probability: Floats, unseen: Floats, rng: np.random.Generator) -> Floats:
    """Return the logits of the market as a whole, (m,), without the unseen part; the noise costs 0.007 of log loss."""
    view: Floats = logit(probability) - unseen + rng.normal(0.0, 0.25, len(probability))
    return view


def draw_odds(view: Floats, rng: np.random.Generator) -> dict[str, Floats]:
    """Return closing and, from a noisier estimate, early decimal prices; one fight in fifty has none."""
    early_view = view + rng.normal(0.0, 0.15, len(view))
    priced = rng.random(len(view)) >= 0.02
    columns: dict[str, Floats] = {}
    for prefix, seen in (("", view), ("early_", early_view)):
        american = _whole_american(seen, rng.normal(1.04, 0.008, len(view)))
        prices = np.where(priced[:, None], np.round(american_to_decimal(american), 4), np.nan)
        columns |= {f"{corner}_{prefix}decimal_odds": prices[:, side] for side, corner in enumerate(("red", "blue"))}
    return columns


def draw_quotes(
    probability: Floats, unseen: Floats, quoted_at: datetime, rng: np.random.Generator
) -> list[tuple[BookmakerQuote, ...]]:
    """Return every bookmaker's quote of each fight, first fighter first; bookmakers differ slightly."""
    view = draw_market_logit(probability, unseen, rng)
    views = view[:, None] + rng.normal(0.0, 0.05, (len(view), len(BOOKMAKER_OVERROUNDS)))
    prices = american_to_decimal(_whole_american(views, np.array(list(BOOKMAKER_OVERROUNDS.values()))))
    return [
        tuple(
            BookmakerQuote(name, (float(pair[0]), float(pair[1])), quoted_at)
            for name, pair in zip(BOOKMAKER_OVERROUNDS, fight, strict=True)
        )
        for fight in prices
    ]


def _whole_american(view: Floats, implied_total: Floats) -> Floats:
    """Return whole American odds of both fighters for a logit `view` and an overround."""
    # Bookmakers do not quote beyond about 1 to 50.
    return np.round(decimal_to_american(add_margin(expit(np.clip(view, -3.0, 3.0)), implied_total)))
