from __future__ import annotations

import csv
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ledger.contracts.jobs import ArchivePrices, Fight, Fighter, Quote
from ledger.ledger import Ledger
from producer.cli.main import main
from producer.output.exit_codes import ExitCode
from workers.handlers.archive_prices import archive_prices
from workers.settings import WorkerSettings

BELL = datetime(2026, 8, 22, 21, 15, tzinfo=UTC)
Run = Callable[..., Result]


@pytest.fixture
def run(command_environment: None) -> Run:
    def invoke(*words: str, ends: ExitCode = ExitCode.OK) -> Result:
        done = CliRunner().invoke(main, words, catch_exceptions=False)
        assert done.exit_code == ends, done.output
        return done

    return invoke


@pytest.fixture(autouse=True)
def _history(ledger: Ledger) -> None:
    for minutes, price in ((-90, 2.0), (-10, 2.5), (10, 9.0)):
        quotes = tuple(
            Quote(bookmaker=name, prices={"Ana": price, "Bea": 1.5}, commission=0.05 * (name == "x")) for name in "ax"
        )
        made = Fight(id="f 1", fighters=(Fighter(name="Ana"), Fighter(name="Bea")), quotes=quotes)
        ledger.prices.record([made], BELL + timedelta(minutes=minutes), starts={"f 1": BELL})


def document(done: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("archived", [False, True])
def test_histories_are_shown_wherever_they_are(run: Run, ledger: Ledger, tmp_path: Path, archived: bool) -> None:
    if archived:
        settings = WorkerSettings(data=tmp_path / "data")
        context: Any = SimpleNamespace(settings=settings, ledger=ledger, progress=lambda *_: None)
        archive_prices(ArchivePrices(keep_days=0), context)
        assert ledger.prices.fights() == []
    changes = document(run("prices", "history", "f 1", "--json"))["changes"]
    assert len(changes) == 8
    assert changes[0] | {"commission": 0.0} == {
        "commission": 0.0,
        "fight_id": "f 1",
        "bookmaker": "a",
        "fighter": "Ana",
        "price": 2.0,
        "read_at": "2026-08-22T19:45:00Z",
    }
    at = document(run("prices", "at", "f 1", "2026-08-22T21:00:00Z", "--json"))["quotes"]
    assert [(quote["bookmaker"], quote["prices"]["Ana"], quote.get("commission", 0.0)) for quote in at] == [
        ("a", 2.0, 0.0),
        ("x", 2.0, 0.05),
    ]
    close = document(run("prices", "close", "f 1", "--json"))
    assert (close["bell"], close["quotes"][0]["prices"]["Ana"]) == ("2026-08-22T21:15:00Z", 2.5)
    earlier = document(run("prices", "close", "f 1", "--bell", "2026-08-22T20:00:00Z", "--json"))
    assert earlier["quotes"][0]["prices"]["Ana"] == 2.0
    run("prices", "export", str(tmp_path / "out.csv"), "f 1")
    rows = list(csv.DictReader((tmp_path / "out.csv").open()))
    assert [float(row["price"]) for row in rows] == [change["price"] for change in changes]
    assert rows[-1]["read_at"] == "2026-08-22T21:25:00+00:00"
    assert run("prices", "export", "-", "f 1").stdout == (tmp_path / "out.csv").read_text()


def test_tables_are_for_people(run: Run) -> None:
    assert "2.500" in run("prices", "close", "f 1").stdout
    assert "5.0%" in run("prices", "at", "f 1", "2026-08-22T21:00:00Z").stdout
    assert "2026-08-22 21:15:00" in run("prices", "list").stdout
    assert "9.000" in run("prices", "history", "f 1").stdout


def test_an_unknown_fight_has_no_quotes(run: Run) -> None:
    done = run("prices", "history", "other", ends=ExitCode.UNKNOWN_JOB)
    assert (done.stdout, "cornerman prices list" in done.stderr) == ("", True)
    run("prices", "at", "other", "2026-08-22T21:00:00Z", ends=ExitCode.UNKNOWN_JOB)
    close = document(run("prices", "close", "other", "--json", ends=ExitCode.UNKNOWN_JOB))
    assert close == {"fight_id": "other", "bell": None, "quotes": []}


def test_a_moment_without_quotes_says_so(run: Run) -> None:
    done = run("prices", "at", "f 1", "2020-01-01T00:00:00Z")
    assert (done.stdout, "No quotes stood at 2020-01-01" in done.stderr) == ("", True)
    assert "the bell, 2020-01-01" in run("prices", "close", "f 1", "--bell", "2020-01-01T00:00:00Z").stderr


def test_an_archive_that_is_not_here_is_named(run: Run, ledger: Ledger, tmp_path: Path) -> None:
    settings = WorkerSettings(data=tmp_path / "elsewhere")
    context: Any = SimpleNamespace(settings=settings, ledger=ledger, progress=lambda *_: None)
    archive_prices(ArchivePrices(keep_days=0), context)
    assert "CORNERMAN_STORE" in run("prices", "history", "f 1", ends=ExitCode.REFUSED).stderr
    assert run("prices", "export", "-", ends=ExitCode.REFUSED).stderr
