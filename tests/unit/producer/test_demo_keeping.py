"""The folder of the demo's league, and the next steps that the demo prints."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from producer.cli.commands.demo import _keep, _print_next_steps
from producer.cli.options.moments import MomentParam
from producer.feed.parsing import PriceFormat
from producer.output.console import Console
from producer.service.demo_data import DemoData


@pytest.fixture
def league(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CORNERMAN_DATA", str(tmp_path / "data"))
    made = tmp_path / "made"
    made.mkdir()
    (made / "fights.csv").write_text("first")
    return made


def test_a_league_of_the_demo_gives_way_to_the_next(league: Path, tmp_path: Path) -> None:
    kept = _keep(league)
    assert kept == tmp_path / "data" / "league"
    (kept / "notes.txt").write_text("mine")
    (league / "fights.csv").write_text("second")
    assert _keep(league) == kept
    assert (kept / "fights.csv").read_text() == "second"
    assert (kept / "notes.txt").read_text() == "mine"


def test_a_league_of_somebody_elses_is_left_alone(league: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "data" / "league"
    theirs.mkdir(parents=True)
    (theirs / "fights.csv").write_text("years of work")
    (tmp_path / "data" / "league-2").write_text("a file")
    for _ in range(2):
        assert _keep(league) == tmp_path / "data" / "league-3"
    assert [path.name for path in theirs.iterdir()] == ["fights.csv"]
    assert (theirs / "fights.csv").read_text() == "years of work"


def test_the_feed_that_is_kept_can_be_asked_about_for_long(league: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stage = DemoData(log=league, bodies=(), price_format=PriceFormat.AMERICAN, truth={})
    _print_next_steps(Console(), stage, league)
    [line] = [line for line in capsys.readouterr().err.splitlines() if " enqueue " in line]
    words = line.split()
    deadline = MomentParam().convert(words[words.index("--deadline") + 1], None, None)
    assert (deadline - datetime.now(UTC)).days > 365
