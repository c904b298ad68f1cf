"""Links and paths of every document lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
FOLDERS = "benchmarks|cornerman|deploy|docs|engine|findings|gateway|ledger|producer|tests|workers"


@pytest.mark.parametrize("document", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_and_named_files_exist(document: Path) -> None:
    text = document.read_text()
    links = [target for target in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in target]
    paths = re.findall(rf"`((?:{FOLDERS})/[\w./-]*)`", text)
    missing = [target for target in links if not (document.parent / target).exists()]
    missing += [path for path in paths if not (ROOT / path).exists()]
    assert missing == []
