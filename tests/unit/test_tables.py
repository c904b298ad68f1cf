from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import date

import pytest
from rich.console import Console

from ledger.reports import CardReport, Decision, FighterAnswer, FightReport, Interval, IntervalMethod, MarketAware
from producer.tables import card_tables


@dataclass(frozen=True)
class Side:
    name: str
    probability: float
    aware: float | None

    def answer(self) -> FighterAnswer:
        return FighterAnswer(
            name=self.name,
            fighter_id=None,
            probability=self.probability,
            intervals=_bounds(self.probability, 0.2, "anchored"),
            sampling_interval=None,
            members={},
            market_aware=None
            if self.aware is None
            else MarketAware(probability=self.aware, band=_bounds(self.aware, 0.07, "market_assumption")),
        )


def _bounds(probability: float, half_width: float, method: IntervalMethod) -> tuple[Interval, ...]:
    return tuple(
        Interval(
            level=level, lower=probability - share * half_width, upper=probability + share * half_width, method=method
        )
        for level, share in ((0.8, 0.65), (0.95, 1.0))
    )


def _shown(first: Side, second: Side) -> list[str]:
    """The card as text, a line for each fighter after the headings."""
    fight = FightReport(
        id="1",
        fighters=(first.answer(), second.answer()),
        decision=Decision(action="abstain", reasons=("price_too_low",)),
    )
    report = CardReport(card_id="card", model="a" * 64, data_cutoff=date(2023, 1, 1), fights=(fight,))
    out = io.StringIO()
    console = Console(file=out, width=160)
    for table in card_tables(report):
        console.print(table)
    return out.getvalue().splitlines()


def test_a_card_shows_two_labelled_numbers_with_their_bounds() -> None:
    lines = _shown(Side("Ann", 0.61, 0.56), Side("Bea", 0.39, 0.44))
    heading = next(line for line in lines if "fighter" in line)
    assert heading.index("statistics only (95% interval)") < heading.index("market aware (95% assumed)")
    ann = next(line for line in lines if "Ann" in line)
    assert ann.index("61.0% (41% to 81%)") < ann.index("56.0% (49% to 63%)")


@pytest.mark.parametrize(("aware", "dashes"), [(0.5, 1), (None, 2)])
def test_what_is_absent_is_a_dash(aware: float | None, dashes: int) -> None:
    lines = _shown(Side("Ann", 0.61, aware), Side("Bea", 0.39, aware))
    bea = next(line for line in lines if "Bea" in line)
    # The market's own probability is absent here in any case.
    assert [cell.strip() for cell in bea.split("│")].count("-") == dashes
