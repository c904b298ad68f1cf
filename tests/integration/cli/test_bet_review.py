"""`cornerman bets review` and `bets export`, with a real pool."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from pyarrow import parquet

from ledger.contracts.bets import PlacedBet
from ledger.ledger import Ledger
from producer.cli.main import main
from producer.output.exit_codes import ExitCode

Run = Callable[..., Result]
START = datetime(2026, 1, 3, 20, 0, tzinfo=UTC)


@pytest.fixture
def run(command_environment: None) -> Run:
    return lambda *arguments: CliRunner().invoke(main, ["bets", *arguments], catch_exceptions=False)


@pytest.fixture
def bets(ledger: Ledger) -> None:
    """Twelve events with two settled bets each, an open bet and a void one."""
    for event in range(14):
        for fight in range(2 if event < 12 else 1):
            bet = PlacedBet(
                bet_id=f"{event}-{fight}",
                job_id=f"job-{event}",
                card_id=f"card-{event}",
                fight_id=f"{event}-{fight}",
                event_start=START + timedelta(days=7 * event),
                fighters=("Ana [bold]", "Bea"),
                fighter="Bea",
                bookmaker="North",
                price=2.1,
                stake=1000,
                probability=0.55,
                who="ann",
                mode="paper" if event < 13 else "live",
            )
            ledger.bets.place(bet, taken=True)
            if event < 12:
                ledger.bets.settle({bet.id: "won" if (event + 2 * fight) % 3 == 1 else "lost"}, user="ann")
    ledger.bets.void(["12-0"], user="ann", reason="no bout")


def test_a_review_is_shown_and_is_a_document(
    run: Run, bets: None, start_pool: Callable[..., Any], tmp_path: Path
) -> None:
    start_pool(queue="monitor", real=True, concurrency=1)
    document = json.loads(run("review", "--wait", "--timeout", "60", "--json").stdout)
    assert (document["kind"], document["mode"], document["total"]["bets"]) == ("bets_report", "paper", 24)
    shown = run("review", "--wait", "--timeout", "60", "--tried", "5", "--since", "2026-01-01T00:00:00Z").stdout
    for text in ("Paper bets from 2026-01-01", "5 were tried", "default values", "North", "50% to 60%", "-30.0% ["):
        assert text in shown
    wrong = run("review", "--rule", "0" * 8, "--wait", "--timeout", "60")
    assert wrong.exit_code == ExitCode.FAILED
    assert "no settled bet was decided by rules" in wrong.stderr
    run("review", "--html", str(tmp_path / "review.html"), "--timeout", "60")
    assert "24 settled bets at 12 events" in (tmp_path / "review.html").read_text()
    receipt = json.loads(run("review", "--json").stdout)
    assert receipt["created"]


def test_bets_are_written_as_csv_and_parquet(run: Run, bets: None, tmp_path: Path) -> None:
    paths = tmp_path / "bets.csv", tmp_path / "bets.parquet"
    for path in paths:
        done = run("export", "--format", path.suffix[1:], "-o", str(path), "--json")
        assert json.loads(done.stdout)["bets"] == 26
    with paths[0].open(newline="") as file:
        rows = [*csv.DictReader(file)]
    table = parquet.read_table(paths[1]).to_pylist()
    assert [row["bet_id"] for row in rows] == [row["bet_id"] for row in table]
    lost, won, void, still_open = table[0], table[2], table[24], table[25]
    assert (lost["state"], lost["returned"], lost["profit"], lost["opponent"]) == ("lost", 0, -1000, "Ana [bold]")
    assert (won["state"], won["returned"], won["profit"]) == ("won", 2100, 1100)
    assert (void["state"], void["returned"], void["profit"], void["reason"]) == ("void", 1000, 0, "no bout")
    assert (still_open["state"], still_open["returned"], still_open["mode"]) == ("open", None, "live")
    assert rows[2]["profit"] == "1100"
    assert rows[25]["profit"] == ""
    assert datetime.fromisoformat(rows[0]["event_start"]) == lost["event_start"] == START
    few = run("export", "--mode", "live", "--until", "2027-01-01T00:00:00Z", "-o", str(paths[0]), "--json")
    assert json.loads(few.stdout)["bets"] == 1
    refused = run("export", "-o", str(tmp_path / "none" / "bets.csv"))
    assert refused.exit_code == ExitCode.REFUSED
