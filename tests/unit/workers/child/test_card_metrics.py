from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ledger.contracts.jobs import CheckHealth, DecisionRules, Fight, Fighter, PredictCard, Quote
from ledger.contracts.reports import CardReport, Decision, FighterAnswer, FightReport, HealthReport, Interval
from workers.child.card_metrics import measure_card

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def card(level: float, *ages_seconds: float) -> PredictCard:
    quotes = tuple(
        Quote(bookmaker=str(age), prices={"Ana": 2.0, "Bea": 2.0}, as_of=NOW - timedelta(seconds=age))
        for age in ages_seconds
    )
    fight = Fight(id="1", fighters=(Fighter(name="Ana"), Fighter(name="Bea")), quotes=quotes)
    return PredictCard(card_id="c", event_start=NOW, fights=(fight,), rules=DecisionRules(level=level))


def report(level: float, market: float | None = None) -> CardReport:
    interval = Interval(level=level, lower=0.25, upper=0.75, method="anchored")
    answers = [
        FighterAnswer(
            name=name,
            fighter_id=None,
            probability=0.5,
            intervals=(interval,),
            sampling_interval=None,
            members={},
            market_probability=market,
        )
        for name in ("Ana", "Bea")
    ]
    fight = FightReport(
        id="1", fighters=(answers[0], answers[1]), decision=Decision(action="abstain", reasons=("a", "b"))
    )
    return CardReport(card_id="c", model="m", data_cutoff=NOW.date(), fights=(fight,))


@pytest.mark.parametrize(
    ("market", "covered", "uncovered"), [(None, {}, {}), (0.3, {"0.8": 1}, {}), (0.8, {}, {"0.8": 1})]
)
def test_figures_of_a_card(market: float | None, covered: dict[str, int], uncovered: dict[str, int]) -> None:
    figures = measure_card(card(0.8, 5.0, 90.0), report(0.8, market), NOW)
    assert figures is not None
    assert (figures.covered, figures.uncovered) == (covered, uncovered)
    assert (figures.bets, figures.abstained, figures.abstentions) == (0, 1, {"a": 1, "b": 1})
    assert (figures.uncertainties, figures.widths, figures.odds_age_seconds) == ([0.5], {"0.8": 0.5}, 90.0)


def test_other_jobs_have_no_figures() -> None:
    assert measure_card(CheckHealth(), HealthReport(status="healthy", checks=(), memory_mb=1.0), NOW) is None


def test_a_level_of_a_callers_making_gets_no_series_of_its_own() -> None:
    found = measure_card(card(level=0.7), report(0.7), NOW)
    assert found is not None
    assert (found.widths, len(found.uncertainties)) == ({}, 1)
