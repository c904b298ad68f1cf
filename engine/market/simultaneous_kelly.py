"""Kelly stakes of several bets at once: shares of the bankroll that maximise the mean log growth of one card.

The fights of a card are decided before the next card is bet on, so their stakes are chosen together. With independent
fights and at most one bet on each, wealth after the card is W = 1 - sum f_i + sum f_i o_i B_i for stakes f_i, prices
o_i and wins B_i of probability p_i. The mean of log W over all 2^n outcomes needs no enumeration: log W is an integral
over t of (e^-t - e^-tW) / t, and the mean of e^-tW is a product over the fights. So the gradient and the Hessian are
the integrals over t > 0 of

    Q R_i          and    -t Q R_i R_j,  on the diagonal  -t Q S_i,          with
    Q = e^-t(1 - sum f) prod q_i,   q_i = 1 - p_i + p_i e^-t f_i o_i,
    R_i = (p_i (o_i - 1) e^-t f_i o_i - (1 - p_i)) / q_i,   S_i = (p_i (o_i - 1)^2 e^-t f_i o_i + 1 - p_i) / q_i

for any number of fights. The mean is strictly concave; a primal-dual interior-point method finds its maximum over
f >= 0 and sum f <= MAX_TOTAL in few steps, however close to the bounds it is.

References
----------
Kelly (1956), "A new interpretation of information rate". Whitrow (2007), "Algorithms for optimal allocation of bets on
many simultaneous events". Takahasi and Mori (1974), "Double exponential formulas for numerical integration". Mehrotra
(1992), "On the implementation of a primal-dual interior point method".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from engine.errors import ValidationError
from engine.market.bet_decision import BettingRules, expected_value, kelly_stake
from engine.market.growth_kernels import maximise_growth

MAX_TOTAL = 1.0 - 1e-6
"""Largest sum of several stakes. One fight may get all of the bankroll, if it cannot be lost."""
_MAX_PROBABILITY = 1.0 - 1e-9  # among several; no integral converges for bets that cannot be lost
_SPACING = 0.15
_x = np.arange(-24, 240) * _SPACING
# Nodes and weights of the trapezoidal rule after t = exp(x - exp(-x)): exact to 1e-15 for wealths from 1e-12 to 30.
_NODES = np.exp(_x - np.exp(-_x))
_WEIGHTS = _SPACING * _NODES * (1.0 + np.exp(-_x))


class KellyBet(NamedTuple):
    """A bet on one side of a fight: the probability of winning it, and its decimal price net of commission."""

    probability: float
    price: float


def simultaneous_kelly(bets: Sequence[KellyBet]) -> tuple[float, ...]:
    """Return the shares of the bankroll that maximise the mean log growth of independent bets placed at once.

    The mean log growth is within 1e-11 of the largest one; within 1e-6 if more than 99.99% of the bankroll are staked.
    One bet gets exactly `kelly_stake`. A bet without a positive expectation gets 0. Equal bets get equal shares, and
    the order of the bets does not change a bit of the answer.

    Parameters
    ----------
    bets
        At most one for each fight.

    Raises
    ------
    ValidationError
        If a probability is outside [0, 1], or a price is not finite and above 1.
    """
    for bet in bets:
        if not 0.0 <= bet.probability <= 1.0:
            raise ValidationError(f"probability must be in [0, 1], got {bet.probability}")
    paying = [KellyBet(*bet) for bet in bets if expected_value(bet.probability, bet.price) > 0.0]
    if len(paying) < 2:
        return tuple(kelly_stake(bet.probability, bet.price) for bet in bets)
    # Sorted, and equal bets once: the solution of the linear equations depends on the order of its rows.
    counts = sorted(Counter(paying).items())
    probability = np.array([min(bet.probability, _MAX_PROBABILITY) for bet, _ in counts])
    price = np.array([bet.price for bet, _ in counts])
    number = np.array([float(number) for _, number in counts])
    found = maximise_growth(probability, price, number, MAX_TOTAL, _NODES, _WEIGHTS)
    stakes = dict(zip((bet for bet, _ in counts), found.tolist(), strict=True))
    return tuple(stakes.get(KellyBet(*bet), 0.0) for bet in bets)


def fractional_stakes(bets: Sequence[KellyBet], rules: BettingRules) -> tuple[float, ...]:
    """Return `kelly_fraction` of the simultaneous Kelly stakes, each at most `max_stake_fraction`.

    One bet gets exactly `fractional_kelly_stake`. Raises ValidationError as `simultaneous_kelly` does.
    """
    return tuple(min(rules.kelly_fraction * stake, rules.max_stake_fraction) for stake in simultaneous_kelly(bets))
