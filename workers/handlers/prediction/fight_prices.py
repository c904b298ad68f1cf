"""Step "price": screen the quotes of each fight, and add the market to its prediction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from engine.ensemble import FightPrediction
from engine.errors import EngineError
from engine.market.consensus import (
    BookmakerQuote,
    MarketConsensus,
    NoMarketReason,
    ScreenedQuotes,
    consensus,
    reject_contradicting,
    screen_quotes,
)
from ledger.contracts.jobs import Fight
from ledger.jobs.quote_age import QuoteWindow
from workers.handlers.prediction.duplicate_bouts import NO_CONFLICTS, BoutConflicts, find_conflicts
from workers.handlers.prediction.model_answers import ModelAnswer
from workers.handlers.prediction.resolved_card import ResolvedCard
from workers.jobs.operator_overrides import SWITCHED_OFF


@dataclass(frozen=True)
class PricedFight:
    """A fight with its prediction and its market.

    Attributes
    ----------
    fight : Fight
    answer : ModelAnswer
        The prediction without odds.
    prediction : FightPrediction
        The prediction with the market added.
    screening : ScreenedQuotes
        The quotes of the fight, divided into usable and rejected ones.
    market : MarketConsensus or None
        The consensus of the usable quotes; None if there are none.
    conflicts : BoutConflicts
        The other fights that forbid a bet on this one.
    """

    fight: Fight
    answer: ModelAnswer
    prediction: FightPrediction
    screening: ScreenedQuotes
    market: MarketConsensus | None
    conflicts: BoutConflicts

    @property
    def no_market_reason(self) -> NoMarketReason | None:
        """The reason why there is no market; quotes that the odds service rejected count as invalid quotes."""
        reason = self.screening.no_market_reason
        if reason is NoMarketReason.NO_QUOTES and self.fight.invalid_quotes:
            return NoMarketReason.INVALID_QUOTES
        return reason


def price_fights(
    card: ResolvedCard, answers: Mapping[str, ModelAnswer | EngineError]
) -> dict[str, PricedFight | EngineError]:
    """Add the market to each prediction; errors are passed on. By fight id, in the order of the card."""
    answered = {fight: found for fight, found in answers.items() if isinstance(found, ModelAnswer)}
    fights = {fight.id: fight for fight in card.job.fights if fight.id in answered}
    screenings = {fight.id: _screen(fight, card.quote_window) for fight in fights.values()}
    markets = {fight: consensus(found.valid) if found.valid else None for fight, found in screenings.items()}
    with_market = card.manager.add_market(
        [answer.unpriced for answer in answered.values()],
        [(fight.fighters[0].name, fight.fighters[1].name) for fight in fights.values()],
        [None if found is None else found.probabilities[0] for found in markets.values()],
    )
    if card.replicas.replicas == 0 and card.replicas.switches:
        with_market = [replace(prediction, sampling_reason=SWITCHED_OFF) for prediction in with_market]
    conflicts = find_conflicts(card.job.fights, answers)
    priced = {
        fight: PricedFight(
            fight=fights[fight],
            answer=answered[fight],
            prediction=prediction,
            screening=screenings[fight],
            market=markets[fight],
            conflicts=conflicts.get(fight, NO_CONFLICTS),
        )
        for fight, prediction in zip(answered, with_market, strict=True)
    }
    return {fight: found if isinstance(found, EngineError) else priced[fight] for fight, found in answers.items()}


def _screen(fight: Fight, window: QuoteWindow) -> ScreenedQuotes:
    first, second = (fighter.name for fighter in fight.fighters)
    quotes = [
        BookmakerQuote(quote.bookmaker, (quote.prices[first], quote.prices[second]), quote.as_of, quote.commission)
        for quote in fight.quotes
    ]
    return reject_contradicting(screen_quotes(quotes, oldest=window.oldest, newest=window.newest))
