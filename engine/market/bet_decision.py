"""The bet decision: whether to bet, on which fighter and how much, from probabilities, lower bounds and prices.

A bet must pay at the *lower bound* of the chosen fighter's interval, not at the point estimate: betting on every
positive point estimate loses money even with an unbiased model, because the largest edges are the largest errors. Both
fighters are treated alike: swapping the two sides swaps the answer, to the bit.

Not covered: the source of the interval, the screening of quotes (`engine.market.quotes`), and the placing of bets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from engine.errors import ValidationError
from engine.market.consensus import BestPrice
from engine.market.quotes import NoMarketReason


class BetAction(StrEnum):
    """What to do about a fight."""

    BET = "bet"
    ABSTAIN = "abstain"


class BetReason(StrEnum):
    """Reason of a decision.

    A bet has exactly the first; an abstention has one or more of the others, in this order.
    """

    LOWER_BOUND_PAYS = "lower_bound_pays"
    NO_QUOTES = "no_quotes"
    STALE_QUOTES = "stale_quotes"
    INVALID_QUOTES = "invalid_quotes"
    NO_INTERVAL = "no_interval"
    PRICE_TOO_LOW = "price_too_low"
    BOTH_SIDES_PAY = "both_sides_pay"
    ARBITRAGE = "arbitrage"
    LOW_CONFIDENCE = "low_confidence"
    HIGH_UNCERTAINTY = "high_uncertainty"
    NO_STAKE = "no_stake"
    SAME_BOUT = "same_bout"
    CONFLICTING_BOUTS = "conflicting_bouts"
    EXPOSURE_FULL = "exposure_full"
    DRAWDOWN_STOP = "drawdown_stop"


@dataclass(frozen=True, slots=True)
class BettingRules:
    """Thresholds and stake limits of the bet decision, all in [0, 1].

    Attributes
    ----------
    min_prediction_confidence
        Least calibrated probability of the chosen fighter; 1/2 excludes outsiders.
    max_uncertainty_threshold
        Greatest width of the interval whose lower bound decides. It does not refer to the sampling interval, which
        is never that wide.
    kelly_fraction
        Share of the full Kelly stake.
    max_stake_fraction
        Largest share of the bankroll on one bet.
    """

    min_prediction_confidence: float = 0.5
    max_uncertainty_threshold: float = 0.4
    kelly_fraction: float = 0.25
    max_stake_fraction: float = 0.05

    def __post_init__(self) -> None:
        """Raise ValidationError if a rule is outside [0, 1]."""
        for name in self.__slots__:
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValidationError(f"{name} must be in [0, 1], got {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class BetSide:
    """One fighter's calibrated probability, its lower bound at the deciding level, and the best price.

    The lower bound of one side is 1 minus the upper bound of the other.
    """

    probability: float
    lower: float | None
    best_price: BestPrice | None

    def __post_init__(self) -> None:
        """Raise ValidationError unless 0 <= lower <= probability <= 1 and the price is finite and above 1."""
        if not 0.0 <= self.probability <= 1.0:
            raise ValidationError(f"probability must be in [0, 1], got {self.probability}")
        if self.lower is not None and not 0.0 <= self.lower <= self.probability:
            raise ValidationError(f"lower bound must be in [0, {self.probability}], got {self.lower}")
        if self.best_price is not None:
            _check_price(self.best_price.price)

    @property
    def pays_at_lower_bound(self) -> bool:
        """True if a bet at the best price has a positive expectation even if only the lower bound is true."""
        return (
            self.best_price is not None
            and self.lower is not None
            and expected_value(self.lower, self.best_price.net) > 0.0
        )


@dataclass(frozen=True, slots=True)
class BetDecision:
    """A bet on `side` (0 or 1) with `stake_fraction` of the bankroll, or an abstention, for which both are None."""

    action: BetAction
    reasons: tuple[BetReason, ...]
    side: int | None = None
    best_price: BestPrice | None = None
    stake_fraction: float | None = None


def expected_value(probability: float, price: float) -> float:
    """Return the mean profit per unit staked at a decimal price. Raises ValidationError for a price not above 1."""
    return probability * _check_price(price) - 1.0


def kelly_stake(probability: float, price: float) -> float:
    """Return the share of the bankroll that maximises the mean log growth of one bet (Kelly 1956), never negative.

    (p * price - 1) / (price - 1). Raises ValidationError for a price not above 1.
    """
    return max(0.0, expected_value(probability, price) / (price - 1.0))


def fractional_kelly_stake(probability: float, price: float, rules: BettingRules) -> float:
    """Return the share of the bankroll to stake: `kelly_fraction` of the Kelly stake, at most `max_stake_fraction`.

    Parameters
    ----------
    probability
        Probability of winning the bet.
    price
        Decimal price, net of commission.
    rules
        The two fractions.
    """
    return min(rules.kelly_fraction * kelly_stake(probability, price), rules.max_stake_fraction)


def scale_stakes(stakes: Sequence[float], max_total_fraction: float) -> tuple[float, ...]:
    """Shrink simultaneous stakes by a common factor, so that their sum stays within a limit.

    The common factor keeps the proportions that `engine.market.simultaneous_kelly` gave them, bounds the loss of a
    night, and does not depend on the order of the fights.

    Parameters
    ----------
    stakes
        Shares of the bankroll, each in [0, 1]; 0 for no bet.
    max_total_fraction
        Limit of their sum, in [0, 1].

    Raises
    ------
    ValidationError
        If a value is outside these ranges.
    """
    if not 0.0 <= max_total_fraction <= 1.0 or not all(0.0 <= value <= 1.0 for value in stakes):
        raise ValidationError(f"stakes and their cap must be in [0, 1], got {list(stakes)} and {max_total_fraction}")
    total = math.fsum(stakes)
    if total <= max_total_fraction:
        return tuple(stakes)
    return tuple(value / total * max_total_fraction for value in stakes)


def decide_bet(
    sides: tuple[BetSide, BetSide],
    rules: BettingRules,
    *,
    no_market_reason: NoMarketReason | None = None,
    arbitrage: bool = False,
    other_reasons: Sequence[BetReason] = (),
) -> BetDecision:
    """Return the decision about one fight.

    Bet on the side whose lower bound times best price, net of commission, exceeds 1, if its probability and the
    interval's width allow. The stake is Kelly's at the lower bound, so it starts from 0 at the point at which the bet
    begins to pay; a stake of 0 is no bet. If both sides pay, the best prices contradict each other by more than the
    interval's width, and a person should look at them first.

    Parameters
    ----------
    sides
        The two fighters in any order; their probabilities add up to 1.
    rules
        Thresholds and stake limits.
    no_market_reason
        Reason for which there are no prices; None if there are prices.
    arbitrage
        True if the best prices of both fighters together win whatever the result. One of the two is late or wrong,
        and it is probably the one that looks attractive.
    other_reasons
        Reasons from other fights, `SAME_BOUT` or `CONFLICTING_BOUTS`, in their order.

    Raises
    ------
    ValidationError
        If the two sides contradict each other.
    """
    if abs(sides[0].probability + sides[1].probability - 1.0) > 1e-9:
        raise ValidationError(f"probabilities must add up to 1, got {[side.probability for side in sides]}")
    paying = [position for position, side in enumerate(sides) if side.pays_at_lower_bound]
    reasons = (*_objections(sides, paying, rules, no_market_reason, arbitrage=arbitrage), *other_reasons)
    if reasons:
        return BetDecision(BetAction.ABSTAIN, reasons)
    chosen = sides[paying[0]]
    assert chosen.best_price is not None and chosen.lower is not None  # noqa: S101, PT018 - `pays_at_lower_bound` implies both
    staked = fractional_kelly_stake(chosen.lower, chosen.best_price.net, rules)
    if staked == 0.0:
        return BetDecision(BetAction.ABSTAIN, (BetReason.NO_STAKE,))
    return BetDecision(
        action=BetAction.BET,
        reasons=(BetReason.LOWER_BOUND_PAYS,),
        side=paying[0],
        best_price=chosen.best_price,
        stake_fraction=staked,
    )


def _objections(
    sides: tuple[BetSide, BetSide],
    paying: Sequence[int],
    rules: BettingRules,
    no_market_reason: NoMarketReason | None,
    *,
    arbitrage: bool,
) -> tuple[BetReason, ...]:
    """Return every reason against a bet, in the order of `BetReason`."""
    quoted = any(side.best_price is not None for side in sides)
    width = _interval_width(sides)
    found = []
    if not quoted:
        found.append(BetReason(no_market_reason or NoMarketReason.NO_QUOTES))
    if width is None:
        found.append(BetReason.NO_INTERVAL)
    if quoted and width is not None and not paying:
        found.append(BetReason.PRICE_TOO_LOW)
    if len(paying) == 2:
        found.append(BetReason.BOTH_SIDES_PAY)
    if arbitrage:
        found.append(BetReason.ARBITRAGE)
    if len(paying) == 1 and sides[paying[0]].probability < rules.min_prediction_confidence:
        found.append(BetReason.LOW_CONFIDENCE)
    if width is not None and width > rules.max_uncertainty_threshold:
        found.append(BetReason.HIGH_UNCERTAINTY)
    return tuple(found)


def _interval_width(sides: tuple[BetSide, BetSide]) -> float | None:
    """Return upper minus lower bound, the same from either side; None without an interval."""
    first, second = (side.lower for side in sides)
    return None if first is None or second is None else 1.0 - (first + second)


def _check_price(price: float) -> float:
    if not (math.isfinite(price) and price > 1.0):
        raise ValidationError(f"a decimal price must be finite and above 1, got {price}")
    return price
