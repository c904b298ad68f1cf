"""Plots of contributions: for each fight of a card's report, what each group of features adds to the logit.

    cornerman result JOB --json | python -m engine.evaluation.contribution_plots --out FOLDER

reads a `CardReport` as JSON, alone or in its job's outcome, and writes a plot for each fight that has contributions, as
PNG and as SVG, named by the fight's place on the card. Bars to the right speak for the likelier fighter.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from engine.evaluation.plots import BLUE, GREY, ORANGE, save_plot

Fight = Mapping[str, Any]


def plot_contributions(axes: Axes, fight: Fight) -> bool:
    """Plot the contributions to the logit of a fight's likelier fighter, the largest at the top."""
    if fight["status"] != "predicted" or not all(answer.get("contributions") for answer in fight["fighters"]):
        return False
    answer, other = sorted(fight["fighters"], key=lambda one: -one["probability"])
    found = answer["contributions"]
    terms = sorted({"corner": found["corner"], **found["groups"]}.items(), key=lambda term: -abs(term[1]))
    values = [value for _, value in terms]
    bars = axes.barh(range(len(terms)), values, color=[BLUE if value >= 0.0 else ORANGE for value in values])
    axes.bar_label(bars, [f"{value:+.2f}" for value in values], padding=3, fontsize=8)
    axes.axvline(0.0, color=GREY, linewidth=1)
    axes.set_yticks(range(len(terms)), [name.replace("_", " ") for name, _ in terms])
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.set(xlabel=f"contribution to the logit, {found['logit']:+.2f} in all (right: for the likelier)")
    axes.set_title(f"{_plain(answer['name'])} {answer['probability']:.1%} v {_plain(other['name'])}")
    return True


def save_contribution_plots(report: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write a plot for each fight with contributions into `folder`, which is created if needed; return the files."""
    return [
        path
        for place, fight in enumerate(report["fights"], start=1)
        for path in save_plot(f"contributions_{place:02}", plot_contributions, fight, folder)
    ]


def _plain(name: str) -> str:
    """Return a name without the mark with which matplotlib begins formulas."""
    return name.replace("$", r"\$")


def main(arguments: Sequence[str] | None = None) -> int:
    """Plot the report on standard input and print the names of the files; the exit code is 1 if there are none."""
    parser = argparse.ArgumentParser(
        prog="python -m engine.evaluation.contribution_plots", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    out = parser.parse_args(arguments).out
    document = json.load(sys.stdin)
    files = save_contribution_plots(document.get("report", document), out)
    for path in files:
        sys.stdout.write(f"{path}\n")
    if not files:
        sys.stderr.write("no fight has contributions: submit the card with `contributions`\n")
    return 0 if files else 1


if __name__ == "__main__":
    sys.exit(main())
