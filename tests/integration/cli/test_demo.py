"""The demo as a user runs it: a process of its own, after an earlier one, and stopped in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import psutil
import pytest

from producer.cli.commands.demo import MARKER, PICTURES
from producer.service.page_pictures import find_browser

ROOT = Path(__file__).parents[3]
MARK = "DEMO_TEST_MARK"  # no CORNERMAN_ variable: the demo keeps those from what it starts

SMALL = ("--fights", "600", "--replicas", "10", "--seed", "7")

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of one user."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def environment(tmp_path: Path, data: Path) -> dict[str, str]:
    """An environment that identifies every process of this test, down to the last child."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CORNERMAN_")}
    return {**clean, "PYTHONPATH": str(ROOT), "CORNERMAN_DATA": str(data), MARK: str(tmp_path)}


def _alive(environment: dict[str, str]) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == environment[MARK] and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue  # ended while we looked, or another user's
    return found


@pytest.fixture
def start(environment: dict[str, str]) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "producer.cli.main", "demo", *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()


def test_the_demo_answers_cards_shows_failures_and_plays_a_season_by_itself(
    start: Callable[..., subprocess.Popen[str]], environment: dict[str, str], data: Path
) -> None:
    (data / "league").mkdir()
    (data / "league" / MARKER).write_text("an earlier demo was here")
    process = start("--json", "--season", "--cards", "2", "--minutes", "0.8", *SMALL)
    output, remarks = process.communicate(timeout=500)
    assert process.returncode == 0, remarks
    document = json.loads(output)
    assert document["training"]["alias"] == "champion"
    reports = [card["outcome"]["report"] for card in document["cards"] if card.get("outcome")]
    fights = [fight for report in reports for fight in report["fights"]]
    predicted = [fight for fight in fights if fight["status"] == "predicted"]
    failed = [fight["failure"]["code"] for fight in fights if fight["status"] == "failed"]
    refused = [card["refused"]["code"] for card in document["cards"] if card.get("refused")]
    assert (len(reports), failed, refused) == (2, ["unknown_fighter"], ["invalid_input"])
    assert len(predicted) > 15
    truth = document["truth"]
    assert all(fight["fighters"][0]["name"] in truth[fight["id"]] for fight in predicted)
    assert "Try next" in remarks
    assert {path.name for path in data.iterdir()} - {PICTURES} == {"league"}  # in place of the earlier one
    if find_browser() is None:
        assert "no pictures of the pages" in remarks
    else:
        pictures = sorted((data / PICTURES).iterdir())
        assert [picture.stem for picture in pictures] == ["card", "cards", "operations", "record"]
        assert all(picture.read_bytes().startswith(b"\x89PNG") for picture in pictures)
    assert (data / "league" / "fights.csv").is_file()
    assert _alive(environment) == []
    season = document["season"]
    assert {name: [*count["lost"], *count["doubled"], *count["wrong"]] for name, count in season["counts"].items()} == {
        "quotes": [],
        "results": [],
        "slots": [],
        "bets": [],
    }
    assert season["missing"] == []
    assert season["counts"]["quotes"]["expected"] > 500
    assert season["counts"]["results"]["expected"] >= 22
    assert season["counts"]["slots"]["expected"] > 20
    assert season["calibration"]["fights"] > 15
    assert season["calibration"]["truth"] < season["calibration"]["closes"]
    assert len(season["killed"]) >= 4
    assert "killed the feed runner that leads" in remarks


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_stopping_the_demo_leaves_no_process(
    start: Callable[..., subprocess.Popen[str]],
    environment: dict[str, str],
    until: Callable[..., None],
    signum: signal.Signals,
) -> None:
    process = start(*SMALL)
    assert process.stderr is not None
    _read_until(process.stderr, "Training, job")
    assert len(_alive(environment)) > 3
    process.send_signal(signum)
    assert process.wait(60) != 0
    until(lambda: not _alive(environment))


def _read_until(stream: IO[str], words: str) -> None:
    for line in stream:
        if words in line:
            return
    raise AssertionError(f"the demo ended without a word of {words!r}")
