"""What a benchmark found: a naive way and ours, measured in turns in the same run, as one row."""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple


class Spread(NamedTuple):
    """Median, least and greatest of the repeats."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: tuple[float, ...]) -> Spread:
        """Return the spread of one or more values."""
        return cls(statistics.median(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{_figure(self.median)} ({_figure(self.low)} to {_figure(self.high)})"


@dataclass(frozen=True)
class Row:
    """One comparison. `naive` and `ours` hold the repeats, in `unit`; `wanted_ratio` is the least `ratio` asked for."""

    name: str
    unit: str
    naive: tuple[float, ...]
    ours: tuple[float, ...]
    wanted_ratio: float | None
    higher_is_better: bool
    note: str = ""

    def __post_init__(self) -> None:
        """Raise ValueError, naming the row, where a side has no repeat or one that is not greater than 0."""
        if not self.naive or not self.ours or min(*self.naive, *self.ours) <= 0:
            raise ValueError(f"{self.name}: both sides need repeats, each greater than 0")

    @property
    def median(self) -> float:
        """The median of ours."""
        return Spread.of(self.ours).median

    @property
    def low(self) -> float:
        """The least of ours."""
        return Spread.of(self.ours).low

    @property
    def high(self) -> float:
        """The greatest of ours."""
        return Spread.of(self.ours).high

    @property
    def ratio(self) -> float:
        """How many times better our median is than the naive one; below 1 it is worse."""
        naive, ours = Spread.of(self.naive).median, self.median
        return ours / naive if self.higher_is_better else naive / ours

    @property
    def met(self) -> bool | None:
        """Whether the ratio is as wanted; None where nothing was asked for."""
        return None if self.wanted_ratio is None else self.ratio >= self.wanted_ratio


def table(rows: Iterable[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| what | unit | naive | ours | ratio | wanted | note |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        wanted = "" if row.wanted_ratio is None else f"{_figure(row.wanted_ratio)}{'' if row.met else ', missed'}"
        cells = (row.name, row.unit, Spread.of(row.naive), Spread.of(row.ours), _figure(row.ratio), wanted, row.note)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def document(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Return the rows as JSON values."""
    return [
        {
            "name": row.name,
            "unit": row.unit,
            "higher_is_better": row.higher_is_better,
            "naive": {**Spread.of(row.naive)._asdict(), "repeats": row.naive},
            "ours": {**Spread.of(row.ours)._asdict(), "repeats": row.ours},
            "ratio": row.ratio,
            "wanted_ratio": row.wanted_ratio,
            "met": row.met,
            "note": row.note,
        }
        for row in rows
    ]


def report(measure: Callable[..., Iterable[Row]], about: str) -> None:
    """Be the command of a benchmark: measure with the repeats that the caller asks for, and print what was found."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--repeats", type=int)
    given = parser.parse_args()
    rows = measure() if given.repeats is None else measure(repeats=given.repeats)
    print(json.dumps(document(rows), indent=1) if given.json else table(rows))


def _figure(value: float) -> str:
    """Three significant digits, and no fraction where there are more before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
