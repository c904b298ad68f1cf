"""The market at the close of fights: the fair probability of the last quotes before the bell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.market.consensus import consensus, reject_contradicting
from engine.market.quotes import BookmakerQuote, screen_quotes
from ledger.contracts.bets import PlacedBet
from ledger.contracts.jobs import Quote
from ledger.prices.archive import ArchiveUnavailableError, PriceArchive
from ledger.prices.price_reader import PriceReader
from workers.errors import StoreUnavailableError
from workers.jobs.context import JobContext


def closing_probabilities(bets: Iterable[PlacedBet], context: JobContext) -> dict[str, float]:
    """Return the closing probability of the fighter of each bet, by id of the bet; bets without a close are left out.

    The close is at the last start that a reading of the feed gave, else at the start that the bet names. Raises
    StoreUnavailableError if prices are archived and the store cannot be read.
    """
    by_fight: dict[str, list[PlacedBet]] = {}
    for bet in bets:
        by_fight.setdefault(bet.fight_id, []).append(bet)
    prices = context.ledger.prices
    bells = {
        fight_id: placed[0].event_start if state is None or state.start is None else state.start
        for (fight_id, placed), state in zip(by_fight.items(), prices.states(list(by_fight)), strict=True)
    }
    archive = PriceArchive.in_store(context.settings.store, context.settings.models_folder)
    try:
        closes = PriceReader(prices, archive).closes(bells)
    except ArchiveUnavailableError as error:
        raise StoreUnavailableError(str(error)) from error
    found: dict[str, float] = {}
    for fight_id, quotes in closes.items():
        for bet in by_fight[fight_id]:
            if (probability := closing_probability(bet, quotes)) is not None:
                found[bet.id] = probability
    return found


def closing_probability(bet: PlacedBet, quotes: Sequence[Quote]) -> float | None:
    """Return the consensus of closing quotes for the fighter of a bet; None without a usable quote of both fighters."""
    first, second = bet.fighters if bet.fighter == bet.fighters[0] else bet.fighters[::-1]
    screened = screen_quotes(
        [
            BookmakerQuote(
                bookmaker=quote.bookmaker,
                prices=(quote.prices[first], quote.prices[second]),
                as_of=quote.as_of,
                commission=quote.commission,
            )
            for quote in quotes
            if quote.prices.keys() == {first, second}
        ]
    )
    usable = reject_contradicting(screened).valid
    return consensus(usable).probabilities[0] if usable else None
