"""Text of a fight's decision and of its reasons, with numbers from the report and, if available, the card."""

from __future__ import annotations

import math
from datetime import datetime

from ledger.contracts.jobs import PredictCard, Quote
from ledger.contracts.reports import Bet, FighterAnswer, FightReport
from ledger.jobs.quote_age import quote_window
from producer.output.table_parts import duration_text


def decision_text(fight: FightReport, card: PredictCard | None) -> str:
    """Return the decision about a fight: `abstain`, or the stake, the fighter, the price and the bookmaker."""
    decision = fight.decision
    if decision.action == "abstain" or decision.price is None or decision.stake_fraction is None:
        return decision.action
    offer = _offer(decision.price, decision.bookmaker or "", fight.id, card)
    return f"bet {decision.stake_fraction:.1%} on {decision.fighter} at {offer}"


def reason_texts(fight: FightReport, card: PredictCard | None) -> list[str]:
    """Return every reason of a fight's decision, with the numbers behind it if they are known."""
    figures = {
        "lower_bound_pays": _paying_price,
        "price_too_low": _paying_price,
        "low_confidence": _confidence,
        "high_uncertainty": _width,
        "arbitrage": _arbitrage,
        "stale_quotes": _stale,
    }
    lines = []
    for reason in fight.decision.reasons:
        words = figures[reason](fight, card) if reason in figures else None
        lines.append(reason if words is None else f"{reason}: {words}")
    return lines


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
    offers = [(answer, answer.best, _lower(answer.best)) for answer in fight.fighters if answer.best is not None]
    candidates = [(1 + (1 / low - 1) / (1 - best.commission), answer, best) for answer, best, low in offers if low > 0]
    if not candidates:
        return None
    needed, answer, best = min(candidates, key=lambda each: each[0] / each[2].price)
    shown = math.ceil(round(100 * needed, 6)) / 100  # rounded down it could equal a price that does not pay
    return f"{answer.name} pays from {shown:.2f}, offered {_offer(best.price, best.bookmaker, fight.id, card)}"


def _lower(best: Bet) -> float:
    """Return the lower bound of the probability that a bet's value was computed with."""
    return (1 + best.expected_value_lower) / (1 + (best.price - 1) * (1 - best.commission))


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
