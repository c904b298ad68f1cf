from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from engine.evaluation.contribution_plots import main, save_contribution_plots

pytestmark = pytest.mark.slow


def _fight(name: str, probability: float, *, explained: bool = True) -> dict[str, Any]:
    def answer(name: str, probability: float, sign: float) -> dict[str, Any]:
        terms = {
            "logit": sign * 0.4,
            "corner": sign * 0.25,
            "groups": {"striking": -sign * 0.125, "age_and_size": sign},
        }
        return {"name": name, "probability": probability} | ({"contributions": terms} if explained else {})

    return {"status": "predicted", "fighters": [answer(name, probability, 1.0), answer("Bea", 1 - probability, -1.0)]}


@pytest.fixture
def report() -> dict[str, Any]:
    failed = {"status": "failed", "names": ["Cleo", "Dora"]}
    return {"fights": [_fight("Ann $x$", 0.6), failed, _fight("Eve", 0.4), _fight("Flo", 0.7, explained=False)]}


def test_each_fight_with_contributions_is_drawn_twice(report: dict[str, Any], tmp_path: Path) -> None:
    files = save_contribution_plots(report, tmp_path / "new")
    assert [path.name for path in files] == [
        f"contributions_{place}.{kind}" for place in ("01", "03") for kind in ("png", "svg")
    ]
    first, second = (path.read_text() for path in files if path.suffix == ".svg")
    for words in ("age and size", "striking", "corner", "+1.00", "+0.25"):
        assert f"<!-- {words} -->" in first
    assert "Ann $x$ 60.0% v Bea" in first.replace("\\", "")
    assert "<!-- Bea 60.0% v Eve -->" in second  # the likelier one is drawn


def test_the_same_report_draws_the_same_bytes(report: dict[str, Any], tmp_path: Path) -> None:
    one, other = (save_contribution_plots(report, tmp_path / name) for name in ("one", "other"))
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in other]


def test_the_command_reads_an_outcome(
    report: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps({"state": "succeeded", "report": report})))
    assert main(["--out", str(tmp_path)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps({"fights": report["fights"][3:]})))
    assert main(["--out", str(tmp_path)]) == 1
    assert "no fight has contributions" in capsys.readouterr().err
