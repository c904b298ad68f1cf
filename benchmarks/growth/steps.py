"""A cost at growing sizes, the exponent of each step, and where it grows faster than the size."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import log
from typing import NamedTuple

SUPERLINEAR = 1.1
"""Above this exponent a step is marked; below, a cost that grows by a quarter more than its size tenfold is noise."""
RESOLUTION_MS, RESOLUTION_MB = 10.0, 1.0
"""Smaller costs cannot be distinguished: processor times of other processes, and memory, count as these."""


class Step(NamedTuple):
    """A size and its total costs, by name and unit."""

    size: int
    costs: dict[str, float]


def exponents(steps: Sequence[Step], name: str) -> list[float]:
    """Return the exponent of each step from one size to the next: 1 if the cost grows as the size, 0 if not at all."""
    return [
        log(max(after.costs[name], 1e-9) / max(before.costs[name], 1e-9)) / log(after.size / before.size)
        for before, after in pairwise(steps)
    ]


def table(what: str, steps: Sequence[Step]) -> str:
    """Return a table in Markdown with each cost in total, by size, and its exponent since the size before."""
    names = list(steps[0].costs)
    grown = {name: ["", *map(_exponent, exponents(steps, name))] for name in names}
    lines = [f"| {what} | " + " | ".join(f"{name} | exponent" for name in names) + " |"]
    lines.append("|---" * (1 + 2 * len(names)) + "|")
    for at, step in enumerate(steps):
        cells = " | ".join(f"{_figure(step.costs[name])} | {grown[name][at]}" for name in names)
        lines.append(f"| {step.size:,} | {cells} |")
    return "\n".join(lines)


def _exponent(value: float) -> str:
    return f"**{value:.2f}**" if value > SUPERLINEAR else f"{value:.2f}"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
