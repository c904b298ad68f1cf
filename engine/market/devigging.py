"""De-vigging: fair probabilities from one bookmaker's prices, and prices with a margin from a probability.

Markets are two-way, fighter against fighter, in decimal prices: the return per unit staked, stake included. The two
columns of an array are the two fighters in any order; swapping them swaps every result, to the bit.

`1 / price` of both fighters adds up to the *overround*, which exceeds 1 by the bookmaker's margin. De-vigging removes
the margin; the methods differ in how it is divided between the fighters. All five give a pair that adds up to exactly
1.
"""

from __future__ import annotations

import math
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike

from engine.arrays import Floats
from engine.errors import ValidationError
from engine.market.odds import implied_probabilities


class DevigMethod(StrEnum):
    """Method that removes the margin; see the function of the same name."""

    PROPORTIONAL = "proportional"
    POWER = "power"
    SHIN = "shin"
    ODDS_RATIO = "odds_ratio"
    LOGARITHMIC = "logarithmic"


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
    return complementary(_FORMULAS[method](implied))


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


def complementary(pairs: Floats) -> Floats:
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
