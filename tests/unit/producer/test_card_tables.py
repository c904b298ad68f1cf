from __future__ import annotations

import io
from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest
from rich.console import Console

from ledger.contracts.jobs import Fight, Fighter, PredictCard, Quote
from ledger.contracts.reports import (
    Bet,
    CardReport,
    Contributions,
    Decision,
    FighterAnswer,
    FightReport,
    Interval,
    IntervalMethod,
    MarketAware,
)
from producer.output.card_tables import SHOWN_NOTES, card_tables

START = datetime(2030, 1, 5, 22, tzinfo=UTC)
PRICED = START - timedelta(hours=4)
REASONS = ("price_too_low", "low_confidence", "high_uncertainty", "arbitrage", "stale_quotes")


def _bounds(probability: float, half_width: float, method: IntervalMethod) -> tuple[Interval, ...]:
    return tuple(
        Interval(
            level=level, lower=probability - share * half_width, upper=probability + share * half_width, method=method
        )
        for level, share in ((0.8, 0.65), (0.95, 1.0))
    )


def _answer(name: str, probability: float, aware: float | None, price: float | None) -> FighterAnswer:
    lower = probability - 0.65 * 0.2
    best = (
        None
        if price is None
        else Bet(
            bookmaker="Corner Books",
            price=price,
            expected_value=probability * price - 1,
            expected_value_lower=lower * price - 1,
            kelly_fraction=0.0,
            kelly_fraction_lower=0.0,
        )
    )
    band = None if aware is None else MarketAware(probability=aware, band=_bounds(aware, 0.07, "market_assumption"))
    return FighterAnswer(
        name=name,
        fighter_id=None,
        probability=probability,
        intervals=_bounds(probability, 0.2, "anchored"),
        sampling_interval=None,
        members={},
        market_aware=band,
        best=best,
    )


def _report(aware: float | None = 0.56, **fight: object) -> CardReport:
    sides = (_answer("Ann Archer", 0.61, aware, 1.94), _answer("Bea Brown", 0.39, aware and 1 - aware, 2.2))
    shown = FightReport(id="1", fighters=sides, decision=Decision(action="abstain", reasons=REASONS))
    fights = (msgspec.structs.replace(shown, **fight),)
    return CardReport(card_id="card", model="a" * 64, data_cutoff=date(2023, 1, 1), fights=fights)


def _card() -> PredictCard:
    names = ("Ann Archer", "Bea Brown")
    quote = Quote(
        bookmaker="Corner Books",
        prices=dict(zip(names, (1.94, 2.2), strict=True)),
        as_of=PRICED - timedelta(minutes=90),
    )
    fight = Fight(id="1", fighters=(Fighter(name=names[0]), Fighter(name=names[1])), quotes=(quote,))
    return PredictCard(card_id="card", event_start=START, priced_at=PRICED, fights=(fight,))


def _shown(report: CardReport, card: PredictCard | None = None, width: int = 160) -> list[str]:
    out = io.StringIO()
    console = Console(file=out, width=width)
    for table in card_tables(report, card):
        console.print(table)
    return out.getvalue().splitlines()


def _words(lines: list[str]) -> str:
    """Everything on one line, as if no cell were broken: reasons stand in the last column."""
    return " ".join(" ".join(line.rpartition("│")[0].rpartition("│")[2].split()) for line in lines)


def test_a_card_shows_two_labelled_numbers_with_their_bounds_and_the_price() -> None:
    lines = _shown(_report())
    heading = next(line for line in lines if "fighter" in line or "statistics" in line)
    assert heading.index("statistics") < heading.index("market aware")
    ann = next(line for line in lines if "Ann Archer" in line)
    assert ann.index("61.0% (41%-81%)") < ann.index("56.0% (49%-63%)") < ann.index("1.94")


@pytest.mark.parametrize(("aware", "dashes"), [(0.5, 1), (None, 2)])
def test_what_is_absent_is_a_dash(aware: float | None, dashes: int) -> None:
    bea = next(line for line in _shown(_report(aware)) if "Bea Brown" in line)
    # The market's own probability is absent here in any case.
    assert [cell.strip() for cell in bea.split("│")].count("-") == dashes


def test_reasons_come_with_their_figures() -> None:
    words = _words(_shown(_report(), _card()))
    # 1 / (0.61 - 0.13) and 1 / (0.39 - 0.13)
    assert "price_too_low: Ann Archer pays from 2.09, offered 1.94 by Corner Books, 1 h 30 min old" in words
    assert "high_uncertainty: the 80% interval is 26.0% wide, the limit is 40.0%" in words
    assert "arbitrage: bets at the best prices 1.94 and 2.20 together win in either case" in words
    stale = "the newest price is from 2030-01-05 16:30; prices before 2030-01-05 17:00 are ignored"
    assert f"stale_quotes: {stale}" in words


def test_each_edge_says_which_market_it_is_measured_against() -> None:
    sides = _report().fights[0].fighters  # type: ignore[union-attr]
    edges = ({"market_edge": 0.02, "market_aware_edge": -0.013, "without_own_quote": True}, {"market_edge": -0.08})
    priced = tuple(
        msgspec.structs.replace(side, best=msgspec.structs.replace(side.best, **edge))  # type: ignore[type-var]
        for side, edge in zip(sides, edges, strict=True)
    )
    words = _words(_shown(_report(fighters=priced)))
    assert "edge on Ann Archer by the market without Corner Books: +2.0%, market-aware -1.3%" in words
    assert "edge on Bea Brown by the whole market: -8.0%" in words


def test_the_table_says_which_probability_decides() -> None:
    assert "Decisions, by the interval of statistics" in " ".join(_shown(_report()))


def test_without_the_job_no_limit_is_made_up() -> None:
    words = _words(_shown(_report()))
    assert "price_too_low: Ann Archer pays from 2.09, offered 1.94 by Corner Books" in words
    assert "high_uncertainty" in words
    assert "the limit is" not in words
    assert "are ignored" not in words


def test_a_bet_says_how_much_on_whom_at_which_price() -> None:
    bet = Decision(
        action="bet",
        reasons=("lower_bound_pays",),
        fighter="Bea Brown",
        bookmaker="Corner Books",
        price=2.2,
        stake_fraction=0.022,
    )
    lines = _shown(_report(decision=bet, flags=("debutant",), notes=tuple(f"note {n}" for n in range(5))), _card())
    text = " ".join(lines)
    assert "bet 2.2% on Bea Brown at 2.20 by Corner" in text
    assert "flags: debutant" in text
    assert f"note {SHOWN_NOTES - 1}" in text
    assert f"note {SHOWN_NOTES}" not in text
    assert f"and {5 - SHOWN_NOTES} more notes" in text


def test_the_note_that_names_another_bout_is_always_shown() -> None:
    twin = Decision(action="abstain", reasons=("same_bout",))
    lines = _shown(_report(decision=twin, notes=(*(f"note {n}" for n in range(5)), "the same bout as 'd1'")))
    assert "the same bout as 'd1'" in " ".join(lines)


def _explained() -> CardReport:
    terms = {"striking": 0.375, "age_and_size": -0.5, "context": 0.001}
    sides = [
        msgspec.structs.replace(
            side,
            contributions=Contributions(
                logit=sign * 0.376, corner=sign * 0.5, groups={name: sign * value for name, value in terms.items()}
            ),
        )
        for sign, side in zip((1.0, -1.0), _report().fights[0].fighters, strict=True)  # type: ignore[union-attr]
    ]
    return _report(fighters=tuple(sides))


def test_contributions_are_those_of_the_likelier_fighter_in_order_of_size() -> None:
    words = _words(_shown(_explained()))
    assert "corner +0.50, age and size -0.50, striking +0.38" in words
    assert "context" not in words
    assert any("Ann Archer, 61.0%" in line and "+0.38" in line for line in _shown(_explained()))
    assert not any("Contributions" in line for line in _shown(_report()))
    assert max(map(len, _shown(_explained(), width=80))) <= 80


def test_at_80_columns_nothing_is_cut_off() -> None:
    lines = _shown(_report(flags=("features_imputed", "corner_unknown")), _card(), width=80)
    assert max(map(len, lines)) <= 80
    assert "…" not in "".join(lines)
    for word in ("statistics", "market aware", "61.0% (41%-81%)", "features_imputed", "high_uncertainty"):
        assert any(word in line for line in lines), word
