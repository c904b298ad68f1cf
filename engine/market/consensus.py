"""Bookmakers' prices: fair probabilities, screening of quotes, and the consensus of several bookmakers.

Markets are two-way, fighter against fighter, in decimal prices: the return per unit staked, stake included. The two
columns of an array are the two fighters in any order; swapping them swaps every result, to the bit.

`1 / price` of both fighters adds up to the *overround*, which exceeds 1 by the bookmaker's margin. De-vigging removes
the margin; the methods differ in how it is divided between the fighters. All five give a pair that adds up to exactly
1.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from statistics import median

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.arrays import Floats
from engine.errors import ValidationError
from engine.market.odds import implied_probabilities, overround

MIN_OVERROUND = 0.98
"""Quotes with a smaller overround are rejected: the bookmaker would lose to an arbitrage, so a price was misread."""
MAX_OVERROUND = 1.20
"""Quotes with a larger overround are rejected: the market is suspended, or a price was misread."""
MIN_OTHER_BOOKMAKERS = 3
"""Fewest other bookmakers whose consensus judges a bet without the price of the bookmaker that is bet at."""


class DevigMethod(StrEnum):
    """Method that removes the margin; see the function of the same name."""

    PROPORTIONAL = "proportional"
    POWER = "power"
    SHIN = "shin"
    ODDS_RATIO = "odds_ratio"
    LOGARITHMIC = "logarithmic"


class QuoteFault(StrEnum):
    """Reason for which a quote was rejected."""

    IMPOSSIBLE_PRICE = "impossible_price"
    OVERROUND_TOO_LOW = "overround_too_low"
    OVERROUND_TOO_HIGH = "overround_too_high"
    STALE = "stale"
    REPEATED_BOOKMAKER = "repeated_bookmaker"
    DATED_AHEAD = "dated_ahead"
    CONTRADICTS_OTHERS = "contradicts_others"
    SWITCHED_FIGHTERS = "switched_fighters"


UNUSED_QUOTE_FAULTS = frozenset(
    {QuoteFault.STALE, QuoteFault.DATED_AHEAD, QuoteFault.CONTRADICTS_OTHERS, QuoteFault.SWITCHED_FIGHTERS}
)
"""Faults of well-formed quotes that are too old, dated ahead, or in contradiction to the other bookmakers."""


class NoMarketReason(StrEnum):
    """Reason for which there is no market for a fight."""

    NO_QUOTES = "no_quotes"
    STALE_QUOTES = "stale_quotes"
    INVALID_QUOTES = "invalid_quotes"


@dataclass(frozen=True, slots=True)
class BookmakerQuote:
    """One bookmaker's decimal prices of the first and the second fighter.

    Attributes
    ----------
    prices
        The prices, before commission.
    as_of
        When the prices were read; None if unknown.
    commission
        Share of net winnings that an exchange keeps.
    """

    bookmaker: str
    prices: tuple[float, float]
    as_of: datetime | None = None
    commission: float = 0.0


@dataclass(frozen=True, slots=True)
class RejectedQuote:
    """A quote that is not used, and the reason."""

    quote: BookmakerQuote
    fault: QuoteFault

    def __str__(self) -> str:
        """Return the sentence for a report."""
        low, high = sorted(self.quote.prices)
        dated = self.fault in (QuoteFault.STALE, QuoteFault.DATED_AHEAD) and self.quote.as_of is not None
        moment = f" of {self.quote.as_of:%Y-%m-%d %H:%M:%S} UTC" if dated else ""
        return f"{self.quote.bookmaker}: {self.fault} (prices {low:g} and {high:g}{moment})"


@dataclass(frozen=True, slots=True)
class ScreenedQuotes:
    """Quotes sorted into usable and rejected ones, each in the order given."""

    valid: tuple[BookmakerQuote, ...]
    rejected: tuple[RejectedQuote, ...]

    @property
    def no_market_reason(self) -> NoMarketReason | None:
        """Reason for which there is no market; None if there is one."""
        if self.valid:
            return None
        if not self.rejected:
            return NoMarketReason.NO_QUOTES
        stale = any(item.fault is QuoteFault.STALE for item in self.rejected)
        return NoMarketReason.STALE_QUOTES if stale else NoMarketReason.INVALID_QUOTES


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


def net_price(price: float, commission: float) -> float:
    """Return a decimal price after commission on net winnings; without commission, exactly the price."""
    if commission == 0.0 or not price > 1.0:
        return price
    return max(1.0 + (price - 1.0) * (1.0 - commission), math.nextafter(1.0, 2.0))


def devig(prices: ArrayLike, method: DevigMethod = DevigMethod.POWER) -> Floats:
    """Return fair probabilities for two-way decimal prices, float64 (..., 2) in (0, 1).

    Each pair adds up to exactly 1 and keeps the order of the prices.

    Parameters
    ----------
    prices
        Decimal prices, (..., 2), each above 1 and none missing.
    method
        How the margin is removed. The power method did best on real closing odds.

    Raises
    ------
    ValidationError
        If the shape is another, or a price is not finite or not above 1.
    """
    implied = implied_probabilities(prices)
    if implied.ndim == 0 or implied.shape[-1] != 2:
        raise ValidationError(f"two-way prices need a last axis of length 2, got shape {implied.shape}")
    return _complementary(_FORMULAS[method](implied))


def add_margin(probability: ArrayLike, implied_total: ArrayLike) -> Floats:
    """Return two-way decimal prices, float64 (..., 2), from which the odds-ratio method recovers `probability`.

    Solves expit(x + c) + expit(-x + c) = R for u = exp(c): a quadratic in u. The margin falls more heavily on the
    outsider, as with real bookmakers.

    Parameters
    ----------
    probability
        Fair probability of the first fighter, (...), in (0, 1).
    implied_total
        The overround R, broadcast against `probability`, in (0, 2).

    Raises
    ------
    ValidationError
        If a value is outside these ranges.
    """
    fair, total = np.asarray(probability, dtype=np.float64), np.asarray(implied_total, dtype=np.float64)
    if not (np.all((fair > 0) & (fair < 1)) and np.all((total > 0) & (total < 2))):
        raise ValidationError("a probability must be in (0, 1) and an overround in (0, 2)")
    odds = fair / (1.0 - fair)
    half = (total - 1.0) * (odds + 1.0 / odds) / 2.0
    shift = (half + np.sqrt(half**2 + total * (2.0 - total))) / (2.0 - total)
    return 1.0 + 1.0 / np.stack([shift * odds, shift / odds], axis=-1)


def screen_quotes(
    quotes: Sequence[BookmakerQuote], *, oldest: datetime | None = None, newest: datetime | None = None
) -> ScreenedQuotes:
    """Sort quotes into usable and rejected ones, each on its own, so that one bad feed does not spoil the others.

    A bookmaker counts once: its newest usable quote, or its first if the times do not decide.

    Parameters
    ----------
    quotes
        Quotes of one fight, all with the fighters in the same order.
    oldest
        Quotes read before this time are stale. If None, or for a quote without a time, not checked.
    newest
        Quotes read after this time are dated ahead; likewise.
    """
    held_by: dict[str, int] = {}
    faults: dict[int, QuoteFault] = {}
    for position, quote in enumerate(quotes):
        if fault := _fault(quote, oldest, newest):
            faults[position] = fault
            continue
        held = held_by.setdefault(quote.bookmaker, position)
        if held != position:
            newer = _is_newer(quote, quotes[held])
            held_by[quote.bookmaker] = position if newer else held
            faults[held if newer else position] = QuoteFault.REPEATED_BOOKMAKER
    return ScreenedQuotes(
        valid=tuple(quotes[position] for position in sorted(held_by.values())),
        rejected=tuple(RejectedQuote(quotes[position], fault) for position, fault in sorted(faults.items())),
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


def _fault(quote: BookmakerQuote, oldest: datetime | None, newest: datetime | None) -> QuoteFault | None:
    if not all(math.isfinite(price) and price > 1.0 for price in quote.prices):
        return QuoteFault.IMPOSSIBLE_PRICE
    total = sum(1.0 / price for price in quote.prices)  # plain floats: much faster than arrays of two
    if total < MIN_OVERROUND:
        return QuoteFault.OVERROUND_TOO_LOW
    if total > MAX_OVERROUND:
        return QuoteFault.OVERROUND_TOO_HIGH
    if oldest is not None and quote.as_of is not None and quote.as_of < oldest:
        return QuoteFault.STALE
    if newest is not None and quote.as_of is not None and quote.as_of > newest:
        return QuoteFault.DATED_AHEAD
    return None


def _is_newer(quote: BookmakerQuote, held: BookmakerQuote) -> bool:
    if quote.as_of is None:
        return False
    return held.as_of is None or quote.as_of > held.as_of


def _best(quotes: Sequence[BookmakerQuote], side: int) -> BestPrice:
    quote = min(quotes, key=lambda quote: (-net_price(quote.prices[side], quote.commission), quote.bookmaker))
    return BestPrice(quote.bookmaker, float(quote.prices[side]), quote.commission)


def _median(fair: Floats) -> tuple[float, float]:
    """Return the median of de-vigged pairs, (n, 2), as a pair that adds up to exactly 1."""
    first, second = fair.T.tolist()
    pair = _complementary(np.array([median(first), median(second)]))
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


def _complementary(pairs: Floats) -> Floats:
    """Set the favourite to exactly 1 minus the outsider: symmetric, and the pair adds up to 1 to the bit."""
    outsider = np.minimum(pairs.min(axis=-1, keepdims=True), 0.5)
    first_is_outsider = pairs[..., :1] <= pairs[..., 1:]
    even = pairs[..., :1] == pairs[..., 1:]
    first = np.where(even, 0.5, np.where(first_is_outsider, outsider, 1.0 - outsider))
    second = np.where(even, 0.5, np.where(first_is_outsider, 1.0 - outsider, outsider))
    return np.concatenate([first, second], axis=-1)


def _proportional(implied: Floats) -> Floats:
    """Divide by the overround, the textbook baseline, which overestimates outsiders."""
    normalised: Floats = implied / implied.sum(axis=-1, keepdims=True)
    return normalised


def _power(implied: Floats) -> Floats:
    """Raise to the power that makes the pair add up to 1 (Clarke, Kovalchik and Ingram 2017).

    "Adjusting bookmaker's odds to allow for overround", American Journal of Sports Science 5(6). Computed pair by pair,
    so that the result of a fight does not depend on the number of fights.
    """
    pairs = [_power_pair(float(first), float(second)) for first, second in implied.reshape(-1, 2)]
    return np.array(pairs, dtype=np.float64).reshape(implied.shape)


def _power_pair(first: float, second: float) -> tuple[float, float]:
    rates = -math.log(first), -math.log(second)
    # exp(-a k) + exp(-b k) is decreasing and convex, so Newton's steps from a point at which it is at least 1 never
    # overshoot the root; ln 2 / b, for a <= b, is such a point. They end when rounding stops their progress.
    power = math.log(2.0) / max(rates)
    while True:
        shares = math.exp(-rates[0] * power), math.exp(-rates[1] * power)
        further = power + (sum(shares) - 1.0) / (rates[0] * shares[0] + rates[1] * shares[1])
        if not further > power:
            return shares
        power = further


def _shin(implied: Floats) -> Floats:
    """Invert Shin's insider-trading model (Shin 1993; Jullien and Salanie 1994).

    With two outcomes its solution is closed and equals removing half of the margin from each side (Clarke et al. 2017).
    """
    fair: Floats = implied + (1.0 - implied.sum(axis=-1, keepdims=True)) / 2.0
    return fair


def _odds_ratio(implied: Floats) -> Floats:
    """Invert Cheung's odds-ratio model (Buchdahl, "The wisdom of the crowd").

    Fair and quoted odds differ by one factor. With two outcomes: logit p = (logit q1 - logit q2) / 2.
    """
    logits = np.log(implied) - np.log1p(-implied)
    fair: Floats = 1.0 / (1.0 + np.exp((logits[..., ::-1] - logits) / 2.0))
    return fair


_FORMULAS = {
    DevigMethod.PROPORTIONAL: _proportional,
    DevigMethod.POWER: _power,
    DevigMethod.SHIN: _shin,
    DevigMethod.ODDS_RATIO: _odds_ratio,
    # penaltyblog's name for subtracting a constant from the log-odds, which is the odds-ratio model.
    DevigMethod.LOGARITHMIC: _odds_ratio,
}
