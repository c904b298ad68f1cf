from __future__ import annotations

import io

import msgspec
import pytest
from rich.console import Console

from ledger.contracts.bets import BetAccount
from producer.output.season_tables import season_tables
from producer.season.calibration import Calibration
from producer.season.count import Count
from producer.season.summary import SeasonSummary

SUMMARY = SeasonSummary(
    cards=5,
    bouts=61,
    incidents={"gone_and_back": 2},
    seconds=120.0,
    requests=287,
    failed_requests=6,
    answers=190,
    superseded=184,
    killed={"the feed runner that leads": 2},
    restarts=3,
    account=BetAccount(
        mode="paper",
        start=1_000_000,
        bankroll=1_042_066,
        peak=1_042_066,
        drawdown=0,
        stopped=False,
        staked=200_000,
        profit=42_066,
        open=0,
        placed=17,
        open_bets=0,
        won=5,
        lost=8,
        void=4,
    ),
    closing_edge=0.031,
    judgement="promote: no (worse)",
    calibration=Calibration(
        fights=61, inside={"0.8": 56, "0.95": 61}, truth=0.5908, answers=0.6066, market_aware=None, closes=0.5978
    ),
    counts={"quotes": Count(expected=5020), "bets": Count(expected=17)},
)


def _text(summary: SeasonSummary) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(*season_tables(summary))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_tables_show_the_book_the_calibration_and_the_counts() -> None:
    text = _text(SUMMARY)
    for shown in (
        *("5 and 61 in 120 s", "gone and back 2", "287, of which 6 failed", "the feed runner that leads (2)"),
        *("17: 5 won, 8 lost, 4 void", "2,000.00 and 420.66", "21.0%", "3.1%", "promote: no (worse)"),
        *("0.5978", "0.0070", "56 of 61", "5,020"),
    ):
        assert shown in text
    assert "lost:" not in text
    assert SUMMARY.right


@pytest.mark.parametrize("field", ["lost", "doubled", "wrong"])
def test_each_finding_has_a_line_and_makes_the_season_wrong(field: str) -> None:
    count = Count(expected=17, **{field: tuple(f"bet {number}" for number in range(7))})
    summary = msgspec.structs.replace(SUMMARY, counts={"bets": count})
    text = _text(summary)
    assert f"{field}: bet 4" in text
    assert "and 2 more: --json" in text
    assert not summary.right


def test_what_did_not_come_makes_the_season_wrong() -> None:
    summary = msgspec.structs.replace(SUMMARY, missing=("the end of every bet",), closing_edge=None)
    assert "missing: the end of every bet" in _text(summary)
    assert not summary.right
