"""Cards for the handler of predictions, and its reports."""

from __future__ import annotations

from dataclasses import dataclass

from engine.simulation.league import League, UpcomingFight
from ledger.contracts.controls import Controls
from ledger.contracts.jobs import DecisionRules, Fight, Fighter, PredictCard, Quote
from ledger.contracts.reports import CardReport, FightReport

NONE_SET = Controls()
SOFT = DecisionRules(min_prediction_confidence=0.0, max_uncertainty_threshold=1.0)


@dataclass
class Answered:
    """A report, and its fights by id."""

    report: CardReport

    def __getitem__(self, fight_id: str) -> FightReport:
        fight = next(fight for fight in self.report.fights if fight.id == fight_id)
        assert isinstance(fight, FightReport)
        return fight


def fight_of(fight: UpcomingFight, *, swap: bool = False, corner: str = "unknown") -> Fight:
    fighters = [Fighter(name=fight.fighters[0], corner=corner), Fighter(name=fight.fighters[1])]  # type: ignore[arg-type]
    quotes = [
        Quote(bookmaker=quote.bookmaker, prices=dict(zip(fight.fighters, quote.prices, strict=True)))
        for quote in fight.quotes
    ]
    return Fight(
        id=fight.fight_id,
        fighters=tuple(reversed(fighters)) if swap else tuple(fighters),  # type: ignore[arg-type]
        quotes=tuple(reversed(quotes)) if swap else tuple(quotes),
        weight_class=fight.weight_class,
    )


def card_of(fights: list[Fight], league: League, **options: object) -> PredictCard:
    start = league.upcoming[0][0].start
    return PredictCard(card_id="card", event_start=start, fights=tuple(fights), **options)  # type: ignore[arg-type]
