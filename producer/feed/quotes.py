"""Conversion of one event's head-to-head prices into validated quotes.

Outcomes are assigned to fighters by name, never by position. An invalid quote is dropped with a message; the fight
stays.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ledger.contracts.jobs import MAX_OVERROUND, MIN_OVERROUND, Quote
from producer.feed.exchanges import bookmaker_commission
from producer.feed.parsing import ParseError, PriceFormat, name_key, parse_datetime, parse_name, parse_price, quoted

HEAD_TO_HEAD = "h2h"


def read_quotes(
    bookmakers: list[Any],
    names: tuple[str, str],
    price_format: PriceFormat,
    commissions: Mapping[str, float] = MappingProxyType({}),
) -> tuple[tuple[Quote, ...], tuple[str, ...]]:
    """Return the valid head-to-head quotes of an event, and a message for each invalid one.

    Ignores other markets, and all but the first quote of a bookmaker. `commissions` are the shares of net winnings
    that exchanges keep, by bookmaker key; `producer.feed.exchanges` has the defaults.
    """
    quotes: dict[str, Quote] = {}
    invalid: list[str] = []
    for place, bookmaker in enumerate(bookmakers, start=1):
        label = f"bookmaker {place}"
        try:
            label, markets = _head_to_head(bookmaker)
            for market in markets:
                commission = bookmaker_commission(label, commissions)
                quote = _read_quote(label, bookmaker, market, names, price_format, commission)
                if label in quotes:
                    raise ParseError("quotes this fight twice; the first quote is used")
                quotes[label] = quote
        except ParseError as error:
            invalid.append(f"{label}: {error}")
    return tuple(quotes.values()), tuple(invalid)


def _head_to_head(bookmaker: Any) -> tuple[str, list[dict[str, Any]]]:
    if not isinstance(bookmaker, dict):
        raise ParseError(f"expected an object, found {quoted(bookmaker)}")
    label = parse_name(bookmaker.get("key") or bookmaker.get("title"))
    markets = bookmaker.get("markets") or []
    if not isinstance(markets, list):
        raise ParseError(f"{label}: markets is {quoted(markets)}, expected a list")
    return label, [m for m in markets if isinstance(m, dict) and m.get("key") == HEAD_TO_HEAD]


def _read_quote(
    label: str,
    bookmaker: Mapping[str, Any],
    market: Mapping[str, Any],
    names: tuple[str, str],
    price_format: PriceFormat,
    commission: float,
) -> Quote:
    prices = _prices_by_name(market.get("outcomes"), names, price_format)
    overround = math.fsum(1 / price for price in prices.values())
    if not MIN_OVERROUND <= overround <= MAX_OVERROUND:
        raise ParseError(f"the overround is {overround:.3f}, outside {MIN_OVERROUND:.2f} to {MAX_OVERROUND:.2f}")
    read_at = market.get("last_update") or bookmaker.get("last_update")
    try:
        as_of = None if read_at is None else parse_datetime(read_at)
    except ParseError as error:
        raise ParseError(f"last_update: {error}") from error
    return Quote(bookmaker=label, prices=prices, as_of=as_of, commission=commission)


def _prices_by_name(outcomes: Any, names: tuple[str, str], price_format: PriceFormat) -> dict[str, float]:
    if not isinstance(outcomes, list) or not all(isinstance(outcome, dict) for outcome in outcomes):
        raise ParseError(f"outcomes is {quoted(outcomes)}, expected a list of objects")
    fighters = {name_key(name): name for name in names}
    prices: dict[str, float] = {}
    for outcome in outcomes:
        key = name_key(parse_name(outcome.get("name")))
        if key == "draw" and key not in fighters:
            # A three-way market is not a notation of the two-way market: ignoring its draw would spread the draw's
            # share over both fighters, and its bets lose on a draw while two-way bets are refunded.
            raise ParseError("prices a draw; three-way prices are not comparable with two-way prices")
        if key not in fighters:
            raise ParseError(f"prices {quoted(outcome['name'])}, which is neither {names[0]} nor {names[1]}")
        if fighters[key] in prices:
            raise ParseError(f"prices {fighters[key]} twice")
        prices[fighters[key]] = parse_price(outcome.get("price"), price_format)
    if missing := [name for name in names if name not in prices]:
        raise ParseError(f"has no price for {' or '.join(missing)}")
    return prices
