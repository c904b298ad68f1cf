"""Plots of the coverage benchmark: every method's coverage against its width, and ours world by world."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from benchmarks.interval_methods import LEVELS, METHODS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from benchmarks.coverage import WorldResult

DOTS_PER_INCH = 120
PLAIN = {"Software": ""}  # no version in the file, so that the same figures are the same bytes


def write_plots(results: Mapping[str, Sequence[WorldResult]], folder: Path) -> None:
    """Write `coverage-<kind>.png` for each kind of worlds into `folder`, made if absent."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind, each in results.items():
        figure = Figure(figsize=(11, 4.5), layout="constrained")
        left, right = figure.subplots(1, 2)
        _methods(left, each)
        _ours(right, each)
        figure.suptitle(f"{kind}: share of true win probabilities inside the interval")
        figure.savefig(folder / f"coverage-{kind.lower()}.png", dpi=DOTS_PER_INCH, metadata=PLAIN)


def _methods(axes: Axes, results: Sequence[WorldResult]) -> None:
    """Draw a dot a world, at the highest level."""
    level = LEVELS[-1]
    for method in dict.fromkeys(c.method for c in results[0].coverage):
        dots = [c for result in results for c in result.coverage if (c.method, c.level) == (method, level)]
        axes.scatter([dot.width for dot in dots], [dot.covered for dot in dots], s=14, alpha=0.7, label=method)
    axes.axhline(level, color="black", linewidth=0.8, linestyle="--")
    axes.set(
        xlabel="mean width", ylabel="true probabilities inside", title=f"every method at {level:.0%}, a dot a world"
    )
    axes.legend(fontsize=7, loc="lower right")


def _ours(axes: Axes, results: Sequence[WorldResult]) -> None:
    """Draw our coverage by world at each level."""
    ours = next(iter(METHODS))
    places = range(len(results))
    for level in LEVELS:
        covered = [c.covered for r in results for c in r.coverage if (c.method, c.level) == (ours, level)]
        axes.plot(places, covered, marker="o", linewidth=0, label=f"{level:.0%} interval")
        axes.axhline(level, color="black", linewidth=0.8, linestyle="--")
    axes.set_xticks(list(places), [result.name for result in results], rotation=60, fontsize=7)
    axes.set(title=ours, ylim=(0.5, 1.01))
    axes.legend(fontsize=7, loc="lower right")
