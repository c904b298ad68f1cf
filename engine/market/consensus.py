"""The consensus of several bookmakers on a fight, its best prices, and the quotes that contradict the others.

Markets are two-way, fighter against fighter, in decimal prices: the return per unit staked, stake included. The two
columns of an array are the two fighters in any order; swapping them swaps every result, to the bit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

from engine.arrays import Floats
from engine.errors import ValidationError
from engine.market.devigging import DevigMethod, complementary, devig
from engine.market.odds import net_price, overround
from engine.market.quotes import BookmakerQuote, QuoteFault, RejectedQuote, ScreenedQuotes

MIN_OTHER_BOOKMAKERS = 3
"""Fewest other bookmakers whose consensus judges a bet without the price of the bookmaker that is bet at."""


@dataclass(frozen=True, slots=True)
class BestPrice:
    """The decimal price that pays most for a fighter, its bookmaker, and the commission on net winnings."""

    bookmaker: str
    price: float
    commission: float = 0.0

    @property
    def net(self) -> float:
        """Decimal price after commission: what a stake of 1 pays back."""
        return net_price(self.price, self.commission)


@dataclass(frozen=True, slots=True)
class BetConsensus:
    """The consensus by which a bet at the best price of one fighter is judged.

    Attributes
    ----------
    probabilities
        Fair probabilities of the two fighters, which add up to exactly 1.
    without_own_quote
        True if the bookmaker that is bet at is left out, as it is if MIN_OTHER_BOOKMAKERS others quote. False if the
        probabilities are those of all bookmakers.
    """

    probabilities: tuple[float, float]
    without_own_quote: bool


@dataclass(frozen=True, slots=True)
class MarketConsensus:
    """The consensus of several bookmakers.

    Attributes
    ----------
    method
        Method that removed the margins.
    bookmakers
        Names of the bookmakers, sorted.
    probabilities
        Fair probabilities of the two fighters, which add up to exactly 1.
    overround
        Overround of the median bookmaker.
    best_prices
        Best price of each fighter.
    for_bets
        For each fighter, the consensus by which a bet at the best price is judged. The two differ if the best prices
        are of two bookmakers, so the fighters' probabilities in them need not add up to 1.
    arbitrage
        True if backing both fighters at their best prices wins whatever the result: one of the two bookmakers is
        late or wrong.
    """

    method: DevigMethod
    bookmakers: tuple[str, ...]
    probabilities: tuple[float, float]
    overround: float
    best_prices: tuple[BestPrice, BestPrice]
    for_bets: tuple[BetConsensus, BetConsensus]
    arbitrage: bool


def consensus(quotes: Sequence[BookmakerQuote], method: DevigMethod = DevigMethod.POWER) -> MarketConsensus:
    """Return the consensus of usable quotes of one fight, in any order.

    Each bookmaker is de-vigged on its own and the median is taken, so that one late bookmaker does not move it. Best
    prices are those that pay most after commission; of equal ones, that of the bookmaker first in the alphabet. The
    consensus that judges a bet at such a price is the median of the others (leave-one-out), if there are enough: in a
    consensus of all, the price would be compared with itself in part.

    Parameters
    ----------
    quotes
        Usable quotes, at least one, of different bookmakers.
    method
        How the margins are removed.

    Raises
    ------
    ValidationError
        If there is no quote, a bookmaker is repeated, or a price is impossible.
    """
    if not quotes:
        raise ValidationError("a consensus needs at least one usable quote")
    repeated = [name for name, count in Counter(quote.bookmaker for quote in quotes).items() if count > 1]
    if repeated:
        raise ValidationError(f"bookmakers must be distinct, repeated: {repeated}")
    prices = np.array([quote.prices for quote in quotes], dtype=np.float64)
    fair = devig(prices, method)
    best = (_best(quotes, 0), _best(quotes, 1))
    names = np.array([quote.bookmaker for quote in quotes])
    whole = _median(fair)
    return MarketConsensus(
        method=method,
        bookmakers=tuple(sorted(quote.bookmaker for quote in quotes)),
        probabilities=whole,
        overround=median(overround(prices).tolist()),
        best_prices=best,
        for_bets=(_for_bet(fair, names, best[0], whole), _for_bet(fair, names, best[1], whole)),
        arbitrage=_arbitrage(best),
    )


def reject_contradicting(screening: ScreenedQuotes, method: DevigMethod = DevigMethod.POWER) -> ScreenedQuotes:
    """Reject usable quotes that make an arbitrage with the others, if a majority remains that makes none.

    A bookmaker that is late, or has switched the fighters, offers the price that looks best. As long as the best prices
    of both fighters make an arbitrage, that of the two bookmakers is rejected whose probability is farther from the
    median of all. More than half of the bookmakers must remain and agree. Otherwise the wrong ones cannot be
    identified, nothing is rejected, and the arbitrage stands.

    Parameters
    ----------
    screening
        The quotes of one fight, screened one by one.
    method
        How the margins are removed before probabilities are compared.
    """
    kept = list(screening.valid)
    left_out: list[RejectedQuote] = []
    while kept and _arbitrage(best := (_best(kept, 0), _best(kept, 1))):
        if 2 * (len(kept) - 1) <= len(screening.valid):
            return screening
        market = consensus(kept, method)
        best_bookmakers = {one.bookmaker for one in best}
        suspects = [quote for quote in kept if quote.bookmaker in best_bookmakers]
        distances = [(_distance(quote, market), quote.bookmaker) for quote in suspects]
        worst = suspects[distances.index(max(distances))]
        switched = BookmakerQuote(worst.bookmaker, worst.prices[::-1])
        nearer = _distance(switched, market) < _distance(worst, market)
        fault = QuoteFault.SWITCHED_FIGHTERS if nearer else QuoteFault.CONTRADICTS_OTHERS
        left_out.append(RejectedQuote(worst, fault))
        kept.remove(worst)
    return ScreenedQuotes(tuple(kept), (*screening.rejected, *left_out)) if left_out else screening


def _best(quotes: Sequence[BookmakerQuote], side: int) -> BestPrice:
    quote = min(quotes, key=lambda quote: (-net_price(quote.prices[side], quote.commission), quote.bookmaker))
    return BestPrice(quote.bookmaker, float(quote.prices[side]), quote.commission)


def _median(fair: Floats) -> tuple[float, float]:
    """Return the median of de-vigged pairs, (n, 2), as a pair that adds up to exactly 1."""
    first, second = fair.T.tolist()
    pair = complementary(np.array([median(first), median(second)]))
    return float(pair[0]), float(pair[1])


def _for_bet(fair: Floats, names: NDArray[np.str_], best: BestPrice, whole: tuple[float, float]) -> BetConsensus:
    if len(names) - 1 < MIN_OTHER_BOOKMAKERS:
        return BetConsensus(whole, without_own_quote=False)
    return BetConsensus(_median(fair[names != best.bookmaker]), without_own_quote=True)


def _arbitrage(best: tuple[BestPrice, BestPrice]) -> bool:
    return bool(1.0 / best[0].net + 1.0 / best[1].net < 1.0)


def _distance(quote: BookmakerQuote, market: MarketConsensus) -> float:
    """Return the distance of a quote's probability from that of the market, the same for either fighter."""
    fair: list[float] = devig(quote.prices, market.method).tolist()
    return max(abs(own - other) for own, other in zip(fair, market.probabilities, strict=True))
