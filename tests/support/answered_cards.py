"""Answered cards without a pool: a card that is submitted, claimed and settled with a report that says to bet."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime

from ledger.contracts.jobs import Fight, Fighter, PredictCard, Quote
from ledger.contracts.reports import CardReport, Decision, FighterAnswer, FightReport, Interval
from ledger.ledger import Ledger

NIGHT = datetime(2099, 1, 3, 22, tzinfo=UTC)


def card_of(*fight_ids: str, card_id: str = "card", event_start: datetime = NIGHT) -> PredictCard:
    """A card of fights between two fighters each; the first is priced at 2.4 by an exchange."""
    return PredictCard(
        card_id=card_id,
        event_start=event_start,
        fights=tuple(
            Fight(
                id=fight,
                fighters=(Fighter(name=f"Ana {fight}"), Fighter(name=f"Bea {fight}")),
                quotes=(
                    Quote(bookmaker="Exchange", prices={f"Ana {fight}": 2.4, f"Bea {fight}": 1.7}, commission=0.05),
                ),
            )
            for fight in fight_ids
        ),
    )


def report_of(card: PredictCard, stakes: Mapping[str, float]) -> CardReport:
    """A report that bets these shares on the first fighters, and abstains from the other fights."""
    fights = []
    for fight in card.fights:
        first, second = (fighter.name for fighter in fight.fighters)
        decision = Decision(action="abstain", reasons=("price_too_low",))
        if fight.id in stakes:
            decision = Decision(
                action="bet",
                reasons=("lower_bound_pays",),
                fighter=first,
                bookmaker="Exchange",
                price=2.4,
                stake_fraction=stakes[fight.id],
            )
        sides = [
            FighterAnswer(
                name=name,
                fighter_id=None,
                probability=probability,
                intervals=(Interval(level=0.8, lower=probability - 0.1, upper=probability + 0.1, method="anchored"),),
                sampling_interval=None,
                members={},
            )
            for name, probability in ((first, 0.55), (second, 0.45))
        ]
        fights.append(FightReport(id=fight.id, fighters=(sides[0], sides[1]), decision=decision))
    return CardReport(card_id=card.card_id, model="m" * 64, data_cutoff=date(2026, 1, 1), fights=tuple(fights))


def answer_card(
    ledger: Ledger, card: PredictCard, stakes: Mapping[str, float], *, key: str | None = None, supersede: bool = False
) -> str:
    """Submit a card, answer it, and return its job."""
    job_id = ledger.submit(card, key=key, supersede=supersede).job_id
    [claim] = ledger.claim("predict", "test#1/1")
    assert claim.job_id == job_id
    ledger.settle(claim, report_of(card, stakes))
    return job_id
