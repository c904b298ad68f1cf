"""Step "price": screen the quotes of each fight, and add the market to its prediction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from engine.ensemble import FightPrediction
from engine.errors import EngineError
from engine.market.consensus import MarketConsensus, consensus, reject_contradicting
from engine.market.devigging import DevigMethod
from engine.market.quotes import BookmakerQuote, NoMarketReason, ScreenedQuotes, screen_quotes
from engine.statistics.complements import complement
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
    aware_for_bets : pair of float or None
        For each fighter, the market-aware probability from the consensus that judges a bet on that fighter; None
        without a market or without a market-aware model.
    conflicts : BoutConflicts
        The other fights that forbid a bet on this one.
    """

    fight: Fight
    answer: ModelAnswer
    prediction: FightPrediction
    screening: ScreenedQuotes
    market: MarketConsensus | None
    aware_for_bets: tuple[float | None, float | None]
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
    method = DevigMethod(card.job.devig_method)
    screenings = {fight.id: _screen(fight, card.quote_window, method) for fight in fights.values()}
    markets = {fight: consensus(found.valid, method) if found.valid else None for fight, found in screenings.items()}
    with_market = card.manager.add_market(
        [answer.unpriced for answer in answered.values()],
        [(fight.fighters[0].name, fight.fighters[1].name) for fight in fights.values()],
        [None if found is None else found.probabilities[0] for found in markets.values()],
    )
    if card.replicas.replicas == 0 and card.replicas.switches:
        with_market = [replace(prediction, sampling_reason=SWITCHED_OFF) for prediction in with_market]
    aware = _aware_for_bets(card, answered, markets)
    conflicts = find_conflicts(card.job.fights, answers)
    priced = {
        fight: PricedFight(
            fight=fights[fight],
            answer=answered[fight],
            prediction=prediction,
            screening=screenings[fight],
            market=markets[fight],
            aware_for_bets=aware[fight],
            conflicts=conflicts.get(fight, NO_CONFLICTS),
        )
        for fight, prediction in zip(answered, with_market, strict=True)
    }
    return {fight: found if isinstance(found, EngineError) else priced[fight] for fight, found in answers.items()}


def _aware_for_bets(
    card: ResolvedCard, answered: Mapping[str, ModelAnswer], markets: Mapping[str, MarketConsensus | None]
) -> dict[str, tuple[float | None, float | None]]:
    """Return by fight id the market-aware probability of each fighter by which a bet on that fighter is judged."""
    unpriced = [answer.unpriced for answer in answered.values()]
    on_first, on_second = (
        card.manager.market_aware(
            unpriced,
            [None if market is None else market.for_bets[side].probabilities[0] for market in markets.values()],
        )
        for side in (0, 1)
    )
    return {
        fight: (
            None if first is None else first.probability,
            None if second is None else complement(second.probability),
        )
        for fight, first, second in zip(answered, on_first, on_second, strict=True)
    }


def _screen(fight: Fight, window: QuoteWindow, method: DevigMethod) -> ScreenedQuotes:
    first, second = (fighter.name for fighter in fight.fighters)
    quotes = [
        BookmakerQuote(quote.bookmaker, (quote.prices[first], quote.prices[second]), quote.as_of, quote.commission)
        for quote in fight.quotes
    ]
    return reject_contradicting(screen_quotes(quotes, oldest=window.oldest, newest=window.newest), method)
