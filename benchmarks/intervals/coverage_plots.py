"""Plots of the coverage benchmark: coverage against width of every method, and coverage of ours by world."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from benchmarks.intervals.methods import LEVELS, METHODS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from benchmarks.intervals.world_result import WorldResult

DOTS_PER_INCH = 120
MARKERS = "osD^vP*Xd"
# Okabe and Ito's palette, which is distinguishable for colour-blind readers; ours first.
COLOURS = ("#0072B2", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#D55E00", "#CC79A7", "#777777", "#000000")
PLAIN = {"Software": ""}  # no version in the file, so that equal figures give equal bytes


def write_plots(results: Mapping[str, Sequence[WorldResult]], folder: Path) -> None:
    """Write `coverage-<kind>.png` for each kind of world into `folder`; create the folder if needed."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind, each in results.items():
        figure = Figure(figsize=(12.5, 4.8), layout="constrained")
        left, right = figure.subplots(1, 2)
        _methods(left, each)
        _ours(right, each)
        figure.suptitle(f"{kind}: share of true win probabilities inside the interval")
        figure.savefig(folder / f"coverage-{kind.lower()}.png", dpi=DOTS_PER_INCH, metadata=PLAIN)


def _methods(axes: Axes, results: Sequence[WorldResult]) -> None:
    """Draw one marker for each world and method, at the highest level."""
    level = LEVELS[-1]
    names = list(dict.fromkeys(c.method for c in results[0].coverage))
    for name, marker, colour in zip(names, MARKERS, COLOURS, strict=False):
        dots = [c for result in results for c in result.coverage if (c.method, c.level) == (name, level)]
        places = [dot.width for dot in dots], [dot.covered for dot in dots]
        axes.scatter(*places, s=28, marker=marker, color=colour, alpha=0.75, linewidths=0, label=name)
    _promise(axes, level)
    axes.set(
        xlabel="mean width of the interval (left: sharper)",
        ylabel="true probabilities inside (up: safer)",
        title=f"every method at {level:.0%}, a mark for each world",
    )
    axes.legend(fontsize=7.5, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)


def _ours(axes: Axes, results: Sequence[WorldResult]) -> None:
    """Draw our coverage by world at each level."""
    ours = next(iter(METHODS))
    ordered = sorted(results, key=lambda result: result.name)
    for level, marker, colour in zip(LEVELS, MARKERS, COLOURS, strict=False):
        covered = [c.covered for r in ordered for c in r.coverage if (c.method, c.level) == (ours, level)]
        axes.plot(covered, marker=marker, color=colour, linewidth=0, label=f"{level:.0%} interval")
        _promise(axes, level)
    axes.set_xticks(range(len(ordered)), [result.name for result in ordered], rotation=90, fontsize=7.5)
    axes.set(title=f"{ours}, world by world", ylabel="true probabilities inside", ylim=(0.5, 1.01))
    axes.legend(fontsize=7.5, loc="lower right", frameon=False)


def _promise(axes: Axes, level: float) -> None:
    axes.axhline(level, color="black", linewidth=0.8, linestyle="--")
    axes.annotate(
        f"promised {level:.0%}", (0.99, level), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=7
    )
