"""Tests of the check of the documents' figures: `benchmarks.document_figures`."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from benchmarks.document_figures import (
    ROOT,
    Figure,
    code_figures,
    document_figures,
    league_figures,
    log_figures,
    world_figures,
)
from engine.data.fight_log import read_fight_log

DATA = Path(os.environ.get("CORNERMAN_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data")


def missing(found: list[Figure]) -> list[Figure]:
    assert found
    return [figure for figure in found if not figure.is_present]


def test_rules_stand_as_in_the_code() -> None:
    assert missing(list(code_figures())) == []


def test_documents_do_not_contradict_each_other() -> None:
    assert missing(list(document_figures())) == []


def test_the_demo_s_league_is_the_one_of_the_readme() -> None:
    assert missing(list(league_figures())) == []


def test_simulated_worlds_are_those_of_the_table() -> None:
    assert missing(list(world_figures())) == []


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="the real fights are not here")
def test_the_log_of_real_fights_says_what_the_documents_say() -> None:
    assert missing(list(log_figures(read_fight_log(DATA)))) == []


def test_a_figure_that_has_drifted_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    page = tmp_path / "docs/concepts/evaluation.md"
    table = page.read_text()
    [line] = [line for line in table.splitlines() if line.startswith("| 2022 |")]
    page.write_text(table.replace(line, line.replace("| 76.2%", "| 76.1%", 1)))
    monkeypatch.setattr("benchmarks.document_figures.ROOT", tmp_path)
    (found,) = document_figures()
    assert not found.is_present
    assert Figure("docs/concepts/models.md", "its mean log loss is higher by more than 0.005 |").is_present
    assert not Figure("docs/concepts/models.md", "its mean log loss is higher by more than 0.004 |").is_present
