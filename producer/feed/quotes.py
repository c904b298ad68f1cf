"""One event's prices, turned from a feed's notation into quotes that can be trusted.

Covers the head-to-head market: which outcome belongs to which fighter (by name, never by position) and the
checks of a quote as a whole. A quote that fails is turned away with a sentence; the fight stays.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ledger.contracts.jobs import MAX_OVERROUND, MIN_OVERROUND, Quote
from producer.feed.exchanges import commission_of
from producer.feed.parsing import PriceFormat, Unreadable, decimal_price, name_key, read_moment, read_name, show

HEAD_TO_HEAD = "h2h"


def read_quotes(
    bookmakers: list[Any],
    names: tuple[str, str],
    price_format: PriceFormat,
    commissions: Mapping[str, float] = MappingProxyType({}),
) -> tuple[tuple[Quote, ...], tuple[str, ...]]:
    """Return the usable head-to-head quotes of an event, and a sentence for each that is not.

    Other markets are passed over in silence. Of two quotes by the same bookmaker the first counts. `commissions`:
    what exchanges keep of net winnings, by the bookmaker's key; see `producer.feed.exchanges` for those not in it.
    """
    quotes: dict[str, Quote] = {}
    turned_away: list[str] = []
    for place, bookmaker in enumerate(bookmakers, start=1):
        label = f"bookmaker {place}"
        try:
            label, markets = _head_to_head(bookmaker)
            for market in markets:
                commission = commission_of(label, commissions)
                quote = _read_quote(label, bookmaker, market, names, price_format, commission)
                if label in quotes:
                    raise Unreadable("quotes this fight twice; the first stands")
                quotes[label] = quote
        except Unreadable as error:
            turned_away.append(f"{label}: {error}")
    return tuple(quotes.values()), tuple(turned_away)


def _head_to_head(bookmaker: Any) -> tuple[str, list[dict[str, Any]]]:
    if not isinstance(bookmaker, dict):
        raise Unreadable(f"expected an object, found {show(bookmaker)}")
    label = read_name(bookmaker.get("key") or bookmaker.get("title"))
    markets = bookmaker.get("markets") or []
    if not isinstance(markets, list):
        raise Unreadable(f"{label}: markets is {show(markets)}, expected a list")
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
        raise Unreadable(f"the overround is {overround:.3f}, outside {MIN_OVERROUND:.2f} to {MAX_OVERROUND:.2f}")
    read_at = market.get("last_update") or bookmaker.get("last_update")
    try:
        as_of = None if read_at is None else read_moment(read_at)
    except Unreadable as error:
        raise Unreadable(f"last_update: {error}") from error
    return Quote(bookmaker=label, prices=prices, as_of=as_of, commission=commission)


def _prices_by_name(outcomes: Any, names: tuple[str, str], price_format: PriceFormat) -> dict[str, float]:
    if not isinstance(outcomes, list) or not all(isinstance(outcome, dict) for outcome in outcomes):
        raise Unreadable(f"outcomes is {show(outcomes)}, expected a list of objects")
    fighters = {name_key(name): name for name in names}
    prices: dict[str, float] = {}
    for outcome in outcomes:
        key = name_key(read_name(outcome.get("name")))
        if key == "draw" and key not in fighters:
            # Leaving the draw out would spread its share over both fighters, and such a bet loses on a draw
            # where a two-way bet is paid back: it is another market, not another notation.
            raise Unreadable("prices a draw; a three-way price is not a price on one fighter or the other")
        if key not in fighters:
            raise Unreadable(f"prices {show(outcome['name'])}, who is neither {names[0]} nor {names[1]}")
        if fighters[key] in prices:
            raise Unreadable(f"prices {fighters[key]} twice")
        prices[fighters[key]] = decimal_price(outcome.get("price"), price_format)
    if missing := [name for name in names if name not in prices]:
        raise Unreadable(f"has no price for {' or '.join(missing)}")
    return prices
