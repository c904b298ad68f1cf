"""A backtest as a job of a real training pool, and the same on this machine, in a process of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from engine.data.fight_log import write_fight_log
from engine.simulation.league import LeagueConfig, simulate_league
from ledger.contracts.codec import decode_report
from ledger.contracts.failures import FailureCode
from ledger.contracts.job_reports.backtest_report import BacktestReport
from ledger.contracts.jobs import Backtest
from ledger.ledger import Ledger, LedgerSettings
from producer.cli.main import main

SMALL = {"fits": 1, "folds": 3, "bootstrap_samples": 0, "forest_trees": 10}
FIRST_DAY = date(2025, 6, 1)
WAIT_SECONDS = 240


@pytest.fixture(scope="module")
def league_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("league")
    write_fight_log(simulate_league(LeagueConfig(fights=900, seed=5)).log, folder)
    return folder


def _cornerman(settings: LedgerSettings, *arguments: str) -> Result:
    environment = {"CORNERMAN_REDIS_URL": str(settings.redis_url), "CORNERMAN_NAMESPACE": settings.namespace}
    return CliRunner().invoke(main, ["backtest", *arguments], env=environment, catch_exceptions=False)


def test_a_pool_and_this_machine_say_the_same(
    league_folder: Path,
    ledger: Ledger,
    ledger_settings: LedgerSettings,
    start_pool: Callable[..., Any],
    tmp_path: Path,
) -> None:
    start_pool(queue="train", real=True, concurrency=1)
    options = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]
    shared = [str(league_folder), "--from", str(FIRST_DAY), "--refit-months", "4", *options, "--json"]
    pages = tmp_path / "here.html", tmp_path / "pooled.html"
    here = _cornerman(
        ledger_settings, *shared, "--local", "--records", str(tmp_path / "fights.csv"), "--html", str(pages[0])
    )
    assert here.exit_code == 0, here.stderr
    pooled = _cornerman(ledger_settings, *shared, "--html", str(pages[1]), "--plots", str(tmp_path / "plots"))
    assert pooled.exit_code == 0, pooled.stderr

    report = decode_report(here.stdout.encode())
    assert isinstance(report, BacktestReport)
    assert json.loads(pooled.stdout)["report"] == json.loads(here.stdout)
    assert pages[0].read_bytes() == pages[1].read_bytes()
    assert f"<code>{report.data_digest}</code>" in pages[0].read_text()
    assert report.models == 2
    assert report.first_day >= FIRST_DAY
    assert len((tmp_path / "fights.csv").read_text().splitlines()) == 1 + report.forecast_fights
    assert len(list((tmp_path / "plots").glob("*.png"))) == 5
    assert "periods, 0 of 2" in pooled.stderr
    market = next(score for score in report.scores if score.forecast == "market")
    assert 0.55 < market.log_loss < 0.66  # a simulated league's market is nearly right


def test_a_backtest_that_cannot_be_is_a_typed_failure(
    league_folder: Path, ledger: Ledger, start_pool: Callable[..., Any]
) -> None:
    start_pool(queue="train", real=True, concurrency=1)
    for first_day, message in (
        (date(2024, 1, 25), "too few to train on"),
        (date(2030, 1, 1), "first day before its end"),
    ):
        job = Backtest(data=str(league_folder), first_day=first_day, **SMALL)
        failure = ledger.wait(ledger.submit(job).job_id, WAIT_SECONDS).failure
        assert failure is not None
        assert failure.code is FailureCode.INVALID_INPUT
        assert message in failure.message
