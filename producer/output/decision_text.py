"""Text of a fight's decision and of its reasons, with numbers from the report and, if available, the card."""

from __future__ import annotations

import math
from datetime import datetime
from typing import NamedTuple

from ledger.contracts.jobs import PredictCard, Quote
from ledger.contracts.reports import Bet, FighterAnswer, FightReport
from ledger.jobs.quote_age import quote_window
from producer.output.table_parts import duration_text

REASON_MEANINGS = {
    "lower_bound_pays": "the price pays even if only the lower end of the interval is true",
    "price_too_low": "no price pays at the lower end of the interval",
    "no_quotes": "there is no price",
    "stale_quotes": "the prices are too old",
    "invalid_quotes": "no price can be used",
    "no_interval": "the errors of this model were never measured",
    "both_sides_pay": "both fighters seem to pay: a price is wrong",
    "arbitrage": "the best prices together win in any case: a price is late or wrong",
    "low_confidence": "the fighter whose price pays is less likely than the rules demand",
    "high_uncertainty": "the interval is wider than the rules allow",
    "no_stake": "the rules leave nothing to stake",
    "same_bout": "another entry is the same bout",
    "conflicting_bouts": "another entry excludes this bout",
    "exposure_full": "the caps on open bets leave no room for a stake",
    "drawdown_stop": "the bankroll is so far below its peak that no bet is placed",
    "model_alarm": "operators let this model abstain after an alarm",
}
"""What each reason of a decision means."""

FLAG_MEANINGS = {
    "debutant": "a fighter has no fight in the log",
    "few_fights": "a fighter has few fights in the log",
    "features_imputed": "values were missing and were filled in",
    "declared_record": "a rating starts from a record that the caller declared",
    "past_odds_missing": "the rating lacks recent closing odds",
    "corner_unknown": "the official corner is not known",
    "stale_fight_log": "the fight log ends long before this fight",
    "invalid_quotes": "a price was refused",
    "quotes_left_out": "a price was left out: too old, dated ahead, or against all other bookmakers",
}
"""What each flag of a fight warns of."""
_SMALL_STAKE = 0.001  # with one decimal it would read 0.0%


class Reason(NamedTuple):
    """A reason of a decision: its code, its meaning, and the numbers behind it, None if they are not known."""

    code: str
    meaning: str
    figures: str | None


def decision_text(fight: FightReport, card: PredictCard | None) -> str:
    """Return the decision about a fight: `abstain`, or the stake, the fighter, the price and the bookmaker."""
    decision = fight.decision
    if decision.action == "abstain" or decision.price is None or decision.stake_fraction is None:
        return decision.action
    offer = _offer(decision.price, decision.bookmaker or "", fight.id, card)
    return f"bet {_stake(decision.stake_fraction)} on {decision.fighter} at {offer}"


def _stake(share: float) -> str:
    return f"{share:.1%}" if share >= _SMALL_STAKE else f"{100 * share:.1g}%"


def reason_texts(fight: FightReport, card: PredictCard | None) -> list[str]:
    """Return every reason of a fight's decision, with the numbers behind it if they are known."""
    return [
        reason.code if reason.figures is None else f"{reason.code}: {reason.figures}"
        for reason in explained_reasons(fight, card)
    ]


def explained_reasons(fight: FightReport, card: PredictCard | None) -> list[Reason]:
    """Return every reason of a fight's decision, with its meaning and the numbers behind it."""
    figures = {
        "lower_bound_pays": _paying_price,
        "price_too_low": _paying_price,
        "low_confidence": _confidence,
        "high_uncertainty": _width,
        "arbitrage": _arbitrage,
        "stale_quotes": _stale,
    }
    return [
        Reason(code, REASON_MEANINGS.get(code, code), figures[code](fight, card) if code in figures else None)
        for code in fight.decision.reasons
    ]


def paying_price(best: Bet) -> float | None:
    """Return the price from which a bet pays at the lower bound of its probability, rounded up to 0.01.

    None if the lower bound is 0, so that no price pays.
    """
    needed = _needed_price(best)
    # Rounded down it could equal a price that does not pay.
    return None if needed is None else math.ceil(round(100 * needed, 6)) / 100


def break_even(best: Bet) -> float:
    """Return the probability at which a bet at the best price, net of commission, neither wins nor loses money."""
    return 1 / _payout(best)


def edge_texts(fight: FightReport) -> list[str]:
    """Return for each fighter the edge of a bet at the best price, by the market and by the market-aware probability.

    It names the bookmaker whose own quote is not in that market.
    """
    lines = []
    for answer in fight.fighters:
        best = answer.best
        if best is None or best.market_edge is None:
            continue
        market = f"the market without {best.bookmaker}" if best.without_own_quote else "the whole market"
        aware = "" if best.market_aware_edge is None else f", market-aware {best.market_aware_edge:+.1%}"
        lines.append(f"edge on {answer.name} by {market}: {best.market_edge:+.1%}{aware}")
    return lines


def _paying_price(fight: FightReport, card: PredictCard | None) -> str | None:
    """Describe the side whose offer is best relative to the price that pays at the lower bound: both prices."""
    offers = [(answer, answer.best, _needed_price(answer.best)) for answer in fight.fighters if answer.best is not None]
    candidates = [(needed, answer, best) for answer, best, needed in offers if needed is not None]
    if not candidates:
        return None
    _, answer, best = min(candidates, key=lambda each: each[0] / each[2].price)
    offered = _offer(best.price, best.bookmaker, fight.id, card)
    return f"{answer.name} pays from {paying_price(best):.2f}, offered {offered}"


def _needed_price(best: Bet) -> float | None:
    """Return the price that makes the value at the lower bound 0; None if the lower bound is 0."""
    lower = (1 + best.expected_value_lower) / _payout(best)
    return 1 + (1 / lower - 1) / (1 - best.commission) if lower > 0 else None


def _payout(best: Bet) -> float:
    """Return what a stake of 1 returns if the bet wins, net of commission."""
    return 1 + (best.price - 1) * (1 - best.commission)


def _confidence(fight: FightReport, card: PredictCard | None) -> str | None:
    paying = [each for each in fight.fighters if each.best is not None and each.best.expected_value_lower > 0]
    if len(paying) != 1:
        return None
    minimum = "" if card is None else f", the minimum is {card.rules.min_prediction_confidence:.0%}"
    return f"{paying[0].name} pays and has {paying[0].probability:.1%}{minimum}"


def _width(fight: FightReport, card: PredictCard | None) -> str | None:
    if card is None:
        return None
    rules = card.rules
    width = _width_at(fight.fighters[0], rules.level)
    if width is None:
        return None
    return f"the {rules.level:.0%} interval is {width:.1%} wide, the limit is {rules.max_uncertainty_threshold:.1%}"


def _width_at(answer: FighterAnswer, level: float) -> float | None:
    return next((each.upper - each.lower for each in answer.intervals if each.level == level), None)


def _arbitrage(fight: FightReport, _card: PredictCard | None) -> str | None:
    prices = [f"{answer.best.price:.2f}" for answer in fight.fighters if answer.best is not None]
    return f"bets at the best prices {' and '.join(prices)} together win in either case" if len(prices) == 2 else None


def _stale(fight: FightReport, card: PredictCard | None) -> str | None:
    dated = [quote.as_of for quote in _quotes(fight.id, card) if quote.as_of is not None]
    oldest = None if card is None else quote_window(card).oldest
    if not dated or oldest is None:
        return None
    return f"the newest price is from {_moment(max(dated))}; prices before {_moment(oldest)} are ignored"


def _offer(price: float, bookmaker: str, fight_id: str, card: PredictCard | None) -> str:
    """Format a price with its bookmaker and its age at the time the card was priced."""
    priced_at = None if card is None else card.priced_at
    dates = [quote.as_of for quote in _quotes(fight_id, card) if quote.bookmaker == bookmaker]
    if priced_at is None or not dates or dates[0] is None:
        return f"{price:.2f} by {bookmaker}"
    return f"{price:.2f} by {bookmaker}, {duration_text(max(0.0, (priced_at - dates[0]).total_seconds()))} old"


def _quotes(fight_id: str, card: PredictCard | None) -> tuple[Quote, ...]:
    fights = () if card is None else card.fights
    return next((fight.quotes for fight in fights if fight.id == fight_id), ())


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"
