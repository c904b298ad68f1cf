"""Examples of jobs and reports: the files of the folder `docs/reference/examples`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gateway.specification.contracts import PUBLIC_JOBS, REPORTS, TAGS

FOLDER = Path(__file__).parents[3] / "docs" / "reference" / "examples"


def jobs() -> dict[str, Any]:
    """Return an example of each kind of job, by its tag."""
    return _read(PUBLIC_JOBS)


def reports() -> dict[str, Any]:
    """Return an example of each kind of report, by its tag."""
    return _read(REPORTS)


def _read(kinds: tuple[type[Any], ...]) -> dict[str, Any]:
    paths = {TAGS[kind]: FOLDER / f"{TAGS[kind]}.json" for kind in kinds}
    return {tag: json.loads(path.read_text(encoding="utf-8")) for tag, path in paths.items() if path.exists()}
