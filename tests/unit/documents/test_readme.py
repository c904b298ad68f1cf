from __future__ import annotations

import re
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

import pytest

from ledger.settings import LedgerSettings, variable
from workers.settings import WorkerSettings

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text()
SETTINGS = [entry for kind in (LedgerSettings, WorkerSettings) for entry in fields(kind) if entry.name != "ledger"]


def row(entry: Field[Any]) -> str:
    """The line of the configuration table that a setting must have."""
    default = "" if entry.default in (None, "") else f"`{entry.default}`"
    return f"| `{variable(entry)}` | {default} | {entry.metadata['help']} |"


@pytest.mark.parametrize("entry", SETTINGS, ids=lambda entry: entry.name)
def test_every_setting_has_its_line(entry: Field[Any]) -> None:
    assert row(entry) in README.splitlines()


def test_no_line_speaks_of_a_setting_that_is_not_there() -> None:
    assert set(re.findall(r"^\| `(CORNERMAN_\w+)`", README, re.MULTILINE)) == {variable(entry) for entry in SETTINGS}


@pytest.mark.parametrize("document", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda p: p.name)
def test_links_and_named_files_exist(document: Path) -> None:
    text = document.read_text()
    links = [target for target in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in target]
    paths = re.findall(r"`((?:benchmarks|deploy|docs|engine|ledger|producer|tests|workers)/[\w./-]*)`", text)
    missing = [target for target in links if not (document.parent / target).exists()]
    missing += [path for path in paths if not (ROOT / path).exists()]
    assert missing == []
