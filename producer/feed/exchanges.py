"""Betting exchanges and their commissions on net winnings.

A feed shows an exchange's prices before commission and omits the commission, which depends on the account. A bet may
have a positive expected value without the commission only. Therefore an exchange has the default rate below, unless
the caller gives another rate.
"""

from __future__ import annotations

from collections.abc import Mapping

DEFAULT_COMMISSION = 0.05
"""Betfair's base rate, the highest common one."""
EXCHANGES = (
    *("betfair_ex", "matchbook", "smarkets", "betdaq"),
    *("betopenly", "kalshi", "novig", "polymarket", "prophetx", "sporttrade"),
)
"""Prefixes of the keys of exchanges in feeds."""


def bookmaker_commission(bookmaker: str, given: Mapping[str, float]) -> float:
    """Return a bookmaker's commission: the given rate, the default rate of an exchange, or 0."""
    if bookmaker in given:
        return given[bookmaker]
    return DEFAULT_COMMISSION if bookmaker.casefold().startswith(EXCHANGES) else 0.0
