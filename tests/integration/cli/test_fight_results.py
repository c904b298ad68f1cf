from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from producer.cli.main import main
from producer.output.exit_codes import ExitCode

Run = Callable[..., Result]
LINES = "date,red,blue,winner\n2026-11-21,Ana,Bea,red\n2026-11-21,Cleo,Dora,nc\n"


@pytest.fixture
def run(command_environment: None) -> Run:
    return lambda *arguments: CliRunner().invoke(main, ["fight-results", *arguments], catch_exceptions=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "results.csv"
    path.write_text(LINES)
    return path


def document(result: Result) -> Any:
    assert result.exit_code == ExitCode.OK, result.output
    return json.loads(result.stdout)


def test_results_are_added_once_and_listed(run: Run, file: Path) -> None:
    assert document(run("add", str(file), "--json"))["results"] == {"added": 2, "unchanged": 0, "corrected": 0}
    assert document(run("add", str(file), "--json"))["results"] == {"added": 0, "unchanged": 2, "corrected": 0}
    shown = run("list", "--since", "2026-01-01")
    assert all(text in shown.stdout for text in ("Ana v Bea", "Ana won", "Cleo v Dora", "no contest"))
    listed = document(run("list", "--since", "2026-01-01", "--limit", "1", "--json"))
    assert (len(listed["results"]), listed["known"]) == (1, 2)


def test_a_correction_is_shown_with_what_stood_before(run: Run, file: Path) -> None:
    run("add", str(file), "--user", "ann")
    file.write_text(LINES.replace("red\n2", "blue\n2"))
    assert document(run("add", str(file), "--user", "bob", "--json"))["results"]["corrected"] == 1
    (newest, *_) = document(run("list", "--changes", "--json"))["changes"]
    assert (newest["who"], newest["before"]["winner"], newest["after"]["winner"]) == ("bob", 0, 1)
    shown = run("list", "--changes").stdout
    assert "Bea won" in shown
    assert "Ana won" in shown


def test_a_file_with_a_fault_adds_nothing(run: Run, file: Path) -> None:
    file.write_text(LINES + "2026-11-21,Eva,Fay,Gil\n")
    refused = run("add", str(file))
    assert refused.exit_code == ExitCode.REFUSED
    assert "line 4: the winner 'Gil' is none of" in refused.stderr
    assert document(run("list", "--json"))["results"] == []
