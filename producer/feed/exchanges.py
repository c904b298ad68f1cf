"""Which bookmakers are betting exchanges, and the commission that they keep of net winnings.

A feed shows an exchange's prices before commission and does not say the commission, which depends on the account. A
bet that is worth it without commission may not be with it, so an exchange that is not told of counts with the rate
below; a caller who pays another one says so.
"""

from __future__ import annotations

from collections.abc import Mapping

DEFAULT_COMMISSION = 0.05
"""Betfair's base rate, the highest usual one."""
EXCHANGES = (
    *("betfair_ex", "matchbook", "smarkets", "betdaq"),
    *("betopenly", "kalshi", "novig", "polymarket", "prophetx", "sporttrade"),
)
"""How the keys of exchanges begin in feeds."""


def commission_of(bookmaker: str, told: Mapping[str, float]) -> float:
    """Return a bookmaker's commission: what the caller told of its key, the default of an exchange, or 0."""
    if bookmaker in told:
        return told[bookmaker]
    return DEFAULT_COMMISSION if bookmaker.casefold().startswith(EXCHANGES) else 0.0
