"""Plots of a backtest's report: reliability, coverage by year, log loss against the market, bankroll and closing line.

    cornerman result JOB --json | python -m engine.evaluation.plots --out FOLDER

reads a `BacktestReport` as JSON, alone or in its job's outcome, and writes each plot as PNG and as SVG. Bars and bands
are 95% intervals. A plot is left out if the report lacks its figures.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

FORECAST_NAMES = {
    "market": "market",
    "market_aware": "market-aware",
    "early_market_aware": "market-aware",
    "statistics_only": "statistics and past fights' odds",
    "cornerless": "the same, corner unknown",
    "ridge": "ridge regression (baseline)",
    "rating": "rating alone (baseline)",
    "results_rating": "statistics only (rating by results)",
}
# Okabe and Ito's palette, whose colours colour-blind readers can distinguish.
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#777777"
PALETTE = (BLUE, ORANGE, GREEN, RED, "#CC79A7", "#56B4E9")
DPI = 110
MIN_BETS = 20
SIZE_INCHES = (6.4, 4.2)

Report = Mapping[str, Any]


def plot_reliability(axes: Axes, report: Report) -> bool:
    """Plot the share of the likelier fighters who won against their predicted probability."""
    shown = {"statistics_only": (BLUE, "o", -0.004), "market": (ORANGE, "s", 0.004)}
    scores = [score for score in report["scores"] if score["forecast"] in shown]
    axes.plot([0.5, 1.0], [0.5, 1.0], color=GREY, linewidth=1, linestyle="--", label="perfect")
    for score in scores:
        colour, marker, shift = shown[score["forecast"]]
        bins = score["reliability"]
        axes.errorbar(
            [each["forecast"] + shift for each in bins],
            [each["won"]["value"] for each in bins],
            yerr=_error_bars([each["won"] for each in bins]),
            color=colour,
            marker=marker,
            markersize=5,
            linewidth=0,
            elinewidth=1.2,
            label=f"{FORECAST_NAMES[score['forecast']]}, {score['fights']:,} fights",
        )
    axes.set(xlabel="probability of the likelier fighter", ylabel="share that won", title="Reliability")
    axes.set(xlim=(0.49, 1.0), ylim=(0.35, 1.02))  # the error bars of a bin with few fights may leave the frame
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.legend(loc="upper left", frameon=False)
    return bool(scores)


def plot_coverage_by_year(axes: Axes, report: Report) -> bool:
    """Plot the share of recalibrated closing logits inside the intervals, by year."""
    years = [part for part in report["slices"] if part["dimension"] == "year" and part["coverage"][0]["inside"]]
    if not years:
        return False
    for index, colour in zip(range(len(years[0]["coverage"])), (BLUE, ORANGE, GREEN), strict=False):
        parts = [year["coverage"][index] for year in years]
        level = parts[0]["level"]
        axes.axhline(level, color=colour, linewidth=1, linestyle="--")
        axes.errorbar(
            range(len(years)),
            [part["inside"]["value"] for part in parts],
            yerr=_error_bars([part["inside"] for part in parts]),
            color=colour,
            marker="o",
            markersize=5,
            linewidth=0,
            elinewidth=1.2,
            label=f"{level:.0%} interval",
        )
    axes.set_xticks(range(len(years)), [year["name"] for year in years])
    axes.margins(x=0.08)
    axes.set(ylabel="closing odds inside the interval", title="Coverage by year")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.legend(loc="lower left", frameon=False, ncols=2)
    return True


def plot_market_difference(axes: Axes, report: Report) -> bool:
    """Plot the log loss minus the market's, of every forecast, of lagging answers and, by year, of the ensemble's."""
    scores = [score for score in (*report["scores"], *report.get("baselines", ())) if score["minus_market"]]
    served = [score for score in report.get("served", ()) if score["state"] == "lagging" and score["minus_market"]]
    years = [part for part in report["slices"] if part["dimension"] == "year" and part["minus_market"]]
    rows = [(FORECAST_NAMES[score["forecast"]], score["minus_market"]) for score in scores]
    rows += [(f"lagging states, corner {score['corner']}", score["minus_market"]) for score in served]
    rows += [(year["name"], year["minus_market"]) for year in years]
    colours = [BLUE] * len(scores) + [GREEN] * len(served) + [GREY] * len(years)
    for place, ((_, estimate), colour) in enumerate(zip(rows, colours, strict=True)):
        axes.errorbar(
            estimate["value"],
            place,
            xerr=_error_bars([estimate]),
            color=colour,
            marker="o",
            markersize=5,
            elinewidth=1.2,
        )
    axes.axvline(0.0, color=ORANGE, linewidth=1.2)
    axes.annotate("market", (0.0, 1.0), xycoords=("data", "axes fraction"), ha="center", va="bottom", color=ORANGE)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.invert_yaxis()
    axes.set(xlabel="log loss minus the market's (right: worse)")
    axes.set_title("Against the market", pad=18)
    return bool(rows)


def plot_bankroll(axes: Axes, report: Report) -> bool:
    """Plot the profit in units of the rules at closing prices, without rules that have few bets."""
    tried = [rule for rule in report["rules"] if rule["prices"] == "closing" and rule["forecast"]]
    rules = [rule for rule in tried if rule["bets"] >= MIN_BETS]
    if not rules:
        return False
    months = report["months"]
    styles = {"statistics_only": "-", "cornerless": ":", "market_aware": "--"}
    order = list(dict.fromkeys(rule["name"] for rule in rules))
    for rule in rules:
        axes.plot(
            range(len(months)),
            rule["bankroll"],
            styles[rule["forecast"]],
            color=PALETTE[order.index(rule["name"]) % len(PALETTE)],
            linewidth=1.3,
            label=f"{FORECAST_NAMES[rule['forecast']]}, {_rule_label(rule['name'])}: {rule['bets']:,} bets",
        )
    starts = [place for place, month in enumerate(months) if place == 0 or month.endswith("-01")]
    axes.set_xticks(starts, [months[place][:4] if months[place].endswith("-01") else "" for place in starts])
    axes.axhline(0.0, color=GREY, linewidth=1)
    axes.set(ylabel="profit in units, one unit a bet")
    axes.set_title(f"Bankroll at closing prices: {len(rules)} of {len(tried)} rules, with {MIN_BETS} bets or more")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), frameon=False, ncols=2, fontsize=7.5)
    return True


def plot_closing_line_value(axes: Axes, report: Report) -> bool:
    """Plot the closing-line value of the rules: the expected profit of their bets if the close is right."""
    rules = [rule for rule in report["rules"] if rule["closing_line_value"] and rule["bets"] >= MIN_BETS]
    colours = {"closing": BLUE, "early": GREEN}
    for place, rule in enumerate(rules):
        estimate = rule["closing_line_value"]
        axes.errorbar(
            estimate["value"],
            place,
            xerr=_error_bars([estimate]),
            color=colours[rule["prices"]],
            marker="o",
            markersize=5,
            elinewidth=1.2,
        )
    names = [
        f"{FORECAST_NAMES.get(rule['forecast'], 'both sides')}, {_rule_label(rule['name'])}, {rule['prices']}"
        for rule in rules
    ]
    axes.axvline(0.0, color=ORANGE, linewidth=1.2)
    axes.set_yticks(range(len(rules)), names, fontsize=8)
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=1))
    axes.locator_params(axis="x", nbins=6)
    axes.set(xlabel="expected profit by the close (right: better)", title="Closing-line value")
    return bool(rules)


PLOTS: Mapping[str, Callable[[Axes, Report], bool]] = {
    "reliability": plot_reliability,
    "coverage_by_year": plot_coverage_by_year,
    "against_the_market": plot_market_difference,
    "bankroll": plot_bankroll,
    "closing_line": plot_closing_line_value,
}


def save_plots(report: Report, folder: Path) -> list[Path]:
    """Write every plot for which the report has figures into `folder`, which is created if needed; return the files."""
    return [path for name, plot in PLOTS.items() for path in save_plot(name, plot, report, folder)]


def save_plot(name: str, plot: Callable[[Axes, Report], bool], content: Report, folder: Path) -> list[Path]:
    """Write one plot of some content as PNG and as SVG, unless `plot` returns False; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    if not plot(axes, content):
        return []
    paths = [folder / f"{name}.png", folder / f"{name}.svg"]
    for path in paths:
        with rc_context({"svg.hashsalt": name}):  # the same report gives the same bytes
            figure.savefig(path, dpi=DPI, metadata={"Date": None} if path.suffix == ".svg" else None)
    return paths


def _error_bars(estimates: Sequence[Report]) -> list[list[float]]:
    """Return the distances from each value to the ends of its interval, downwards and upwards; 0 without ends."""
    return [
        [each["value"] - (each["value"] if each["lower"] is None else each["lower"]) for each in estimates],
        [(each["value"] if each["upper"] is None else each["upper"]) - each["value"] for each in estimates],
    ]


def _rule_label(rule: str) -> str:
    name, _, level = rule.rpartition("_")
    return f"{name.replace('_', ' ')} {level}%" if level.isdigit() else rule.replace("_", " ")


def main(arguments: Sequence[str] | None = None) -> int:
    """Plot the report on standard input and print the names of the files."""
    parser = argparse.ArgumentParser(prog="python -m engine.evaluation.plots", description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    out = parser.parse_args(arguments).out
    document = json.load(sys.stdin)
    for path in save_plots(document.get("report", document), out):
        sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
