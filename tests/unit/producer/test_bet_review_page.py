"""The page of a review of bets: complete, self-contained, and readable without seeing the curves."""

from __future__ import annotations

import re
from datetime import date, timedelta
from html.parser import HTMLParser

import pytest
from msgspec.structs import replace

from ledger.contracts.job_reports.backtest_report import Estimate
from ledger.contracts.job_reports.bets_report import (
    AbstentionReview,
    BetFigures,
    BetGroup,
    BetsReport,
    DrawdownFigures,
    ReviewedDay,
    RuleReview,
)
from ledger.contracts.jobs import DecisionRules
from producer.output.bet_review.charts import line_chart
from producer.output.bet_review.page import render_review

EMPTY = BetsReport(
    mode="paper",
    since=None,
    until=None,
    start=1_000_000,
    open=0,
    void=0,
    total=BetFigures(bets=0, events=0, won=0, staked=0, profit=0),
    drawdown=DrawdownFigures(amount=0, share=0.0, longest_losing_run=0),
    rules_tried=0,
)
FIGURES = BetFigures(
    bets=8,
    events=4,
    won=3,
    staked=8000,
    profit=-1500,
    return_on_stake=Estimate(value=-0.1875, lower=None, upper=None),
)
NAME = "<script>alert('North & South')</script>"
FULL = replace(
    EMPTY,
    total=FIGURES,
    rules_tried=2,
    rules=(RuleReview(digest="0" * 64, rules=DecisionRules(level=0.95), figures=FIGURES, drawdown=EMPTY.drawdown),),
    bookmakers=(BetGroup(name=NAME, figures=FIGURES),),
    abstentions=(
        AbstentionReview(
            reason="too_uncertain", fights=9, profit=2.5, per_fight=Estimate(value=0.28, lower=None, upper=None)
        ),
    ),
    days=tuple(
        ReviewedDay(day=date(2026, 1, 3) + timedelta(days=7 * week), bets=2, staked=2000, profit=profit, expected=40.0)
        for week, profit in enumerate((1000, -2000, -1500, 1000))
    ),
)


class Outline(HTMLParser):
    """Elements that are open, which must be closed in order, and the names of all."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)


@pytest.mark.parametrize("report", [EMPTY, FULL])
def test_the_page_is_whole_and_loads_nothing(report: BetsReport) -> None:
    page = render_review(report)
    outline = Outline()
    outline.feed(page)
    assert outline.open == []
    assert not {"script", "link", "img", "iframe"} & set(outline.seen)
    assert not re.search(r"https?://|url\(|@import|javascript:|\bon\w+=", page)
    assert page == render_review(report)


def test_the_page_has_the_figures_and_says_what_is_missing() -> None:
    page = render_review(FULL)
    for text in (
        "-18.8%",
        "too few events, wins or losses for an interval of the return",
        "level 0.95",
        "2 were tried",
        "&lt;script&gt;alert",
        "too uncertain",
        "+2.50",
        "Bankroll after each event: from 1,000,000 before 2026-01-03 to 998,500 on 2026-01-24",
        "if the close is right: from 0 before 2026-01-03 to 160 on 2026-01-24",
    ):
        assert text in page
    assert "Paper bets by the rules 5ee8" in render_review(replace(EMPTY, rule="5ee8"))
    empty = render_review(EMPTY)
    assert "There are no settled bets." in empty
    assert "<svg" not in empty


def test_a_chart_has_round_ticks_around_all_values_and_its_start() -> None:
    days = [date(2026, 1, 1) + timedelta(days=day) for day in range(6)]
    chart = line_chart([*zip(days, (120.0, 80.0, 260.0, 90.0, 70.0, 95.0), strict=True)], "x", start=100.0)
    assert re.findall(r'text-anchor="end">([\d,]+)<', chart) == ["50", "100", "150", "200", "250", "300"]
    assert [f">{day}<" in chart for day in (days[0], days[3], days[5])] == [True, True, True]
    heights = [float(pair.split(",")[1]) for pair in re.search(r'points="([^"]+)"', chart)[1].split()]  # type: ignore[index]
    assert min(heights) == heights[2]
    assert max(heights) == heights[4]
    flat = line_chart([(days[0], 0.0), (days[0], 0.0)], "x")
    assert "nan" not in flat
