"""Closing-line value: a bet's price compared with the closing price of the market.

The closing price holds more information than any earlier one, so beating it separates skill from luck in far fewer bets
than profit does. It is known only after the market has closed and is never part of a decision. The close is de-vigged
first (`engine.market.devigging.devig`): against its raw prices every bet would look better by the bookmaker's margin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import ValidationError


@dataclass(frozen=True, slots=True, eq=False)
class ClosingLineValue:
    """Two measures of closing-line value, float64 of the shape of the input; both are 0 at the fair closing price.

    Attributes
    ----------
    edge
        Expected profit per unit staked if the close is right: price * p_close - 1.
    log_ratio
        log(price * p_close), which adds up over bets and is not dominated by outsiders.
    """

    edge: NDArray[np.float64]
    log_ratio: NDArray[np.float64]


def closing_line_value(price: ArrayLike, closing_probability: ArrayLike) -> ClosingLineValue:
    """Return the closing-line value of bets.

    Parameters
    ----------
    price
        Decimal prices taken, (...). NaN (no price) gives NaN.
    closing_probability
        De-vigged closing probability of the chosen fighter, broadcast against `price`. NaN (no close) gives NaN.

    Raises
    ------
    ValidationError
        If a price is not above 1 or a probability is outside (0, 1).
    """
    taken, fair = np.asarray(price, dtype=np.float64), np.asarray(closing_probability, dtype=np.float64)
    if np.any(np.isinf(taken) | (taken <= 1.0)):
        raise ValidationError(f"decimal prices must be finite and above 1, got {price!r}")
    if np.any((fair <= 0.0) | (fair >= 1.0)):
        raise ValidationError(f"closing probabilities must be in (0, 1), got {closing_probability!r}")
    ratio = np.asarray(taken * fair)
    return ClosingLineValue(edge=ratio - 1.0, log_ratio=np.log(ratio))
