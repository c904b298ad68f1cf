"""The pages of documentation that speak of the product as it is; the changelog has names of earlier versions, too."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY")),
    *(
        page
        for folder in ("benchmarks", "deploy", "docs", "findings")
        for page in sorted((ROOT / folder).rglob("*.md"))
    ),
]
ROOMS = "benchmarks|cornerman|engine|gateway|ledger|producer|tests|workers"
"""The packages, as alternatives of a regular expression."""
