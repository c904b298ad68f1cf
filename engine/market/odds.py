"""Conversion between formats of odds, and the implied probabilities with the bookmaker's margin still included.

The engine computes with decimal prices: the return per unit staked, stake included. Bookmakers also write American odds
(+150, -150) and British fractions (5/2). Each format converts to decimal prices and back.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike

from engine.arrays import Floats
from engine.errors import ValidationError


def american_to_decimal(american: ArrayLike) -> Floats:
    """Return decimal prices for American odds of any shape: +150 wins 150 on 100, -150 wins 100 on 150.

    Parameters
    ----------
    american
        American odds, (...).

    Raises
    ------
    ValidationError
        If a value is not finite, or between -100 and 100, a range without American odds.
    """
    values = np.asarray(american, dtype=np.float64)
    if not np.all(np.isfinite(values) & (np.abs(values) >= 100)):
        raise ValidationError(f"American odds must be finite and at most -100 or at least 100, got {american!r}")
    return 1.0 + np.where(values > 0, values / 100.0, 100.0 / np.abs(values))


def decimal_to_american(prices: ArrayLike) -> Floats:
    """Return American odds, not rounded, for decimal prices of any shape; 2.0 is +100.

    Parameters
    ----------
    prices
        Decimal prices, (...).

    Raises
    ------
    ValidationError
        If a price is not finite or not above 1.
    """
    profit = _checked(prices) - 1.0
    return np.where(profit >= 1.0, 100.0 * profit, -100.0 / profit)


def fractional_to_decimal(fractional: str) -> float:
    """Return the decimal price for British odds such as "5/2" (profit over stake), "4" or "evens".

    Parameters
    ----------
    fractional
        The odds as text.

    Raises
    ------
    ValidationError
        If the text is no positive fraction.
    """
    text = fractional.strip().lower()
    try:
        profit = Fraction(1) if text in {"evens", "evs"} else Fraction(text.replace(" ", ""))
    except (ValueError, ZeroDivisionError) as error:
        raise ValidationError(f"{fractional!r} is not a fraction such as 5/2") from error
    if profit <= 0:
        raise ValidationError(f"{fractional!r} must be above zero")
    return float(1 + profit)


def decimal_to_fractional(price: float, *, max_denominator: int = 1000) -> str:
    """Return the nearest British odds, for example "5/2" for 3.5.

    Parameters
    ----------
    price
        Decimal price.
    max_denominator
        Largest denominator of the fraction.

    Raises
    ------
    ValidationError
        If the price is not finite, not above 1, or so close to 1 that the odds would be 0.
    """
    profit = Fraction(float(_checked(price)) - 1.0).limit_denominator(max_denominator)
    if profit <= 0:
        raise ValidationError(f"price {price} is too close to 1 for a denominator of at most {max_denominator}")
    return f"{profit.numerator}/{profit.denominator}"


def implied_probabilities(prices: ArrayLike) -> Floats:
    """Return `1 / price`, margin included, for decimal prices of any shape. Raises ValidationError."""
    return 1.0 / _checked(prices)


def overround(prices: ArrayLike) -> Floats:
    """Return the sum of the implied probabilities over the last axis. Raises ValidationError."""
    total: Floats = np.sum(implied_probabilities(prices), axis=-1)
    return total


def net_price(price: float, commission: float) -> float:
    """Return a decimal price after commission on net winnings; without commission, exactly the price."""
    if commission == 0.0 or not price > 1.0:
        return price
    return max(1.0 + (price - 1.0) * (1.0 - commission), math.nextafter(1.0, 2.0))


def _checked(prices: ArrayLike) -> Floats:
    values = np.asarray(prices, dtype=np.float64)
    if not np.all(np.isfinite(values) & (values > 1.0)):
        raise ValidationError(f"decimal prices must be finite and above 1, got {prices!r}")
    return values
