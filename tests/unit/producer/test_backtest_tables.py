from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from engine.evaluation.metrics import evaluate_forecasts
from producer.output.report_tables import report_tables
from tests.support.past_fights import forecasts_of
from workers.handlers.training.backtest import backtest_report


def _shown(**columns: object) -> str:
    console = Console(file=io.StringIO(), width=160)
    for table in report_tables(backtest_report(evaluate_forecasts(forecasts_of(120, **columns)), "0" * 64)):
        console.print(table)
    return str(console.file.getvalue())  # type: ignore[attr-defined] - it is the StringIO above


@pytest.fixture(scope="module")
def shown() -> str:
    return _shown(red_early_odds=2.0, blue_early_odds=1.8)


def test_nothing_is_cut_off(shown: str) -> None:
    assert "…" not in shown


@pytest.mark.parametrize(
    "message",
    [
        "120 scored of 120 fights, 12 events, 1 model",
        "return of betting both sides of everything: -5.00%",
        "24 were tried",
        "default corner known",
        "ridge regression (baseline)",
        "statistics and past fights' odds",
        "rating alone (baseline)",
        "statistics only (rating by results)",
        "taken as unknown",
        "240 on 120 fights",
        "fresh: fighters' states are updated after each event",
        "up to 180 days after the last fight of the state",
    ],
)
def test_what_must_be_said_is_said(shown: str, message: str) -> None:
    assert message in shown


def test_what_does_not_exist_is_a_dash() -> None:
    odds = ("market", "recalibrated_market", "market_aware", "red_odds", "blue_odds")
    shown = _shown(**dict.fromkeys(odds, np.nan))
    assert "nan" not in shown.lower().replace("statistics only", "")
    assert "both sides of everything" not in shown
