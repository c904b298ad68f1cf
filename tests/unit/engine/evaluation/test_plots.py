from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.evaluation.metrics import evaluate_forecasts
from engine.evaluation.plots import PLOTS, save_plots
from tests.support.past_fights import forecasts_of

pytestmark = pytest.mark.slow

PNG = b"\x89PNG\r\n"


def _report(**columns: object) -> Any:
    return json.loads(json.dumps(asdict(evaluate_forecasts(forecasts_of(600, **columns))), default=str))


@pytest.fixture(scope="module")
def report() -> Any:
    return _report(red_odds=2.05, blue_odds=1.75)


def test_every_plot_is_drawn_twice(report: Any, tmp_path: Path) -> None:
    files = save_plots(report, tmp_path / "new" / "folder")
    assert {path.name for path in files} == {f"{name}.{kind}" for name in PLOTS for kind in ("png", "svg")}
    for path in files:
        content = path.read_bytes()
        assert content.startswith(PNG if path.suffix == ".png" else b"<?xml")


def test_the_same_report_draws_the_same_bytes(report: Any, tmp_path: Path) -> None:
    one, other = save_plots(report, tmp_path / "one"), save_plots(report, tmp_path / "other")
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in other]


def test_figures_stand_in_the_drawing(report: Any, tmp_path: Path) -> None:
    save_plots(report, tmp_path)
    drawn = (tmp_path / "coverage_by_year.svg").read_text()
    for words in ("Coverage by year", "2020", "2021", "95% interval"):
        assert f"<!-- {words} -->" in drawn


def test_without_odds_only_reliability_is_drawn(tmp_path: Path) -> None:
    odds = ("market", "recalibrated_market", "market_aware", "red_odds", "blue_odds")
    files = save_plots(_report(**dict.fromkeys(odds, np.nan)), tmp_path)
    assert {path.stem for path in files} == {"reliability"}
