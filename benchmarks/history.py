"""The history of `make bench`: a line for each run, and the ratios that have fallen since.

The times of two runs differ with the load of the machine; a ratio compares two things that were measured alternately.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.results import Row, Spread

PATH = Path(__file__).parent / "history.jsonl"


def ratio_spread(row: Row) -> Spread:
    """Return the ratio of a row with the smallest and the largest that its repeats allow."""
    naive, ours = Spread.from_values(row.naive), Spread.from_values(row.ours)
    if row.higher_is_better:
        return Spread(row.ratio, ours.low / naive.high, ours.high / naive.low)
    return Spread(row.ratio, naive.low / ours.high, naive.high / ours.low)


def line_of(about: Mapping[str, str], rows: Iterable[Row]) -> dict[str, Any]:
    """Return a run as a line of the history: commit, day, processor, and the ratio of each row with its spread."""
    ratios = {row.name: [float(f"{value:.4g}") for value in ratio_spread(row)] for row in rows}
    return {"commit": _commit(), "day": about["day"], "processor": about["processor"], "ratios": ratios}


def read(path: Path = PATH) -> list[dict[str, Any]]:
    """Return the lines of the history, oldest first."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def append(line: Mapping[str, Any], path: Path = PATH) -> None:
    """Add a line to the history."""
    with path.open("a") as history:
        history.write(json.dumps(line) + "\n")


def fallen(line: Mapping[str, Any], earlier: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a sentence for each ratio that has fallen by more than its spread.

    A ratio has fallen if the largest that its repeats allow is below the smallest of the latest earlier run with that
    row on the same processor.
    """
    found = []
    for name, spread in line["ratios"].items():
        new = Spread(*spread)
        for before in reversed(earlier):
            if before["processor"] != line["processor"] or name not in before["ratios"]:
                continue
            old = Spread(*before["ratios"][name])
            if new.high < old.low:
                found.append(f"{name}: {new}, but {old} on {before['day']} ({before['commit']})")
            break
    return found


def _commit() -> str:
    """Return the short name of the commit, with a `+` if files have changed since; '' outside a repository."""
    described = subprocess.run(
        ["git", "describe", "--always", "--abbrev=10", "--exclude=*", "--dirty=+"],  # noqa: S607 - the one of the PATH
        cwd=PATH.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip()
