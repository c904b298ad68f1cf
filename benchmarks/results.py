"""Results of benchmarks: rows that compare a naive solution with ours, measured alternately in one run."""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple


class Spread(NamedTuple):
    """Median, minimum and maximum of the repeats."""

    median: float
    low: float
    high: float

    @classmethod
    def from_values(cls, values: tuple[float, ...]) -> Spread:
        """Return the spread of one or more values."""
        return cls(statistics.median(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{_figure(self.median)} ({_figure(self.low)} to {_figure(self.high)})"


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes
    ----------
    naive, ours
        The repeats of each side, in `unit`.
    wanted_ratio
        Smallest acceptable `ratio`; None: no requirement.
    """

    name: str
    unit: str
    naive: tuple[float, ...]
    ours: tuple[float, ...]
    wanted_ratio: float | None
    higher_is_better: bool
    note: str = ""

    def __post_init__(self) -> None:
        """Raise ValueError with the row's name if a side has no repeat, or one that is not greater than 0."""
        if not self.naive or not self.ours or min(*self.naive, *self.ours) <= 0:
            raise ValueError(f"{self.name}: both sides need repeats, each greater than 0")

    @property
    def median(self) -> float:
        """Median of our repeats."""
        return Spread.from_values(self.ours).median

    @property
    def low(self) -> float:
        """Minimum of our repeats."""
        return Spread.from_values(self.ours).low

    @property
    def high(self) -> float:
        """Maximum of our repeats."""
        return Spread.from_values(self.ours).high

    @property
    def ratio(self) -> float:
        """Factor by which our median is better than the naive one; below 1 it is worse."""
        naive, ours = Spread.from_values(self.naive).median, self.median
        return ours / naive if self.higher_is_better else naive / ours

    @property
    def met(self) -> bool | None:
        """True if the ratio is at least the wanted one; None without a requirement."""
        return None if self.wanted_ratio is None else self.ratio >= self.wanted_ratio


def table(rows: Iterable[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| what | unit | naive | ours | ratio | wanted | note |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        wanted = "" if row.wanted_ratio is None else f"{_figure(row.wanted_ratio)}{'' if row.met else ', missed'}"
        cells = (
            row.name,
            row.unit,
            Spread.from_values(row.naive),
            Spread.from_values(row.ours),
            _figure(row.ratio),
            wanted,
            row.note,
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def document(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Return the rows as JSON values."""
    return [
        {
            "name": row.name,
            "unit": row.unit,
            "higher_is_better": row.higher_is_better,
            "naive": {**Spread.from_values(row.naive)._asdict(), "repeats": row.naive},
            "ours": {**Spread.from_values(row.ours)._asdict(), "repeats": row.ours},
            "ratio": row.ratio,
            "wanted_ratio": row.wanted_ratio,
            "met": row.met,
            "note": row.note,
        }
        for row in rows
    ]


def run_command(measure: Callable[..., Iterable[Row]], about: str) -> None:
    """Run a benchmark's command line: measure with the given number of repeats, and print the rows."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--repeats", type=int)
    given = parser.parse_args()
    rows = measure() if given.repeats is None else measure(repeats=given.repeats)
    print(json.dumps(document(rows), indent=1) if given.json else table(rows))


def _figure(value: float) -> str:
    """Format a value with three significant digits, without decimals from 100 on."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
