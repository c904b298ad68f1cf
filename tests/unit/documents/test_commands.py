"""Modules that documents run exist."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
MODULES = sorted(
    {name for page in PAGES for name in re.findall(r"python -m ([a-z_]+(?:\.[a-z_]+)*)", page.read_text())}
)


@pytest.mark.parametrize("name", MODULES)
def test_a_module_that_a_document_runs_exists(name: str) -> None:
    assert importlib.util.find_spec(name) is not None
