"""Bets from answered cards: the bet that a decision suggests, and what people or their software really took."""

from __future__ import annotations

import msgspec

from ledger.contracts.bets import BetMode, BetReceipt, BetRequest, PlacedBet
from ledger.contracts.codec import job_refused
from ledger.contracts.jobs import Fight, PredictCard
from ledger.contracts.reports import CardReport, FighterAnswer, FightReport
from ledger.ledger import Ledger


def place_request(ledger: Ledger, request: BetRequest, *, user: str) -> BetReceipt:
    """Record a bet on a fight of an answered card.

    Raises
    ------
    JobRefusedError
        The job is no answered card or has no such fight, or its decision does not say what the request leaves open; or
        as a BetRefusedError, see `BetRegister.place`.
    BetConflictError
        Another bet has this id.
    UnknownJobError
        The job is unknown, or its retention is over.
    LedgerUnavailableError
        The server does not answer; asking again is safe.
    """
    card, outcome = ledger.job_records.job(request.job_id), ledger.outcome(request.job_id)
    if not isinstance(card, PredictCard) or outcome is None or not isinstance(outcome.report, CardReport):
        raise job_refused(f"job {request.job_id} is not a card with an answer: bets are placed on answered cards")
    mode = request.mode
    if mode is None:
        mode = "live" if ledger.controls.current().choice("betting") == "live" else "paper"
    bet = bet_on_answer(card, outcome.report, request, user=user, mode=mode)
    return ledger.bets.place(bet, taken=request.taken)


def bet_on_answer(card: PredictCard, report: CardReport, request: BetRequest, *, user: str, mode: BetMode) -> PlacedBet:
    """Return the bet of a request; what it leaves open is that of the decision. Raises JobRefusedError."""
    fight = next((one for one in card.fights if one.id == request.fight_id), None)
    answer = next((one for one in report.fights if one.id == request.fight_id), None)
    if fight is None or not isinstance(answer, FightReport):
        raise job_refused(f"job {request.job_id} has no answer for fight {request.fight_id!r}")
    decision = answer.decision
    fighter, price = request.fighter or decision.fighter, request.price or decision.price
    bookmaker = request.bookmaker or decision.bookmaker
    missing = [
        name for name, value in (("fighter", fighter), ("bookmaker", bookmaker), ("price", price)) if value is None
    ]
    if fighter is None or bookmaker is None or price is None:
        raise job_refused(
            f"the decision about fight {request.fight_id!r} is {decision.action} ({', '.join(decision.reasons)}): name "
            f"the {' and the '.join(missing)} that you took"
        )
    side = next((one for one in answer.fighters if one.name == fighter), None)
    return PlacedBet(
        bet_id=request.bet_id,
        job_id=request.job_id,
        card_id=card.card_id,
        fight_id=fight.id,
        event_start=card.event_start,
        fighters=(fight.fighters[0].name, fight.fighters[1].name),
        fighter=fighter,
        bookmaker=bookmaker,
        price=price,
        commission=_commission(fight, bookmaker) if request.commission is None else request.commission,
        stake=request.stake,
        probability=None if side is None else side.probability,
        lower=_lower(side, card.rules.level),
        rules=card.rules,
        who=user,
        mode=mode,
    )


def read_request(text: bytes) -> BetRequest:
    """Decode a request. Raises JobRefusedError naming the field."""
    try:
        return msgspec.json.decode(text, type=BetRequest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise job_refused(f"the bet cannot be read: {error}") from error


def _commission(fight: Fight, bookmaker: str) -> float:
    return next((quote.commission for quote in fight.quotes if quote.bookmaker == bookmaker), 0.0)


def _lower(side: FighterAnswer | None, level: float) -> float | None:
    return None if side is None else next((one.lower for one in side.intervals if one.level == level), None)
