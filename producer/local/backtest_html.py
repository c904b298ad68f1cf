"""A backtest's report as one self-contained HTML page with plots and tables.

The page depends on the report only, so the same report gives the same page. The tables are those of the terminal. A
separate process draws the plots as SVG; their black becomes the colour of the page's text, so that they are readable
in dark mode.
"""

from __future__ import annotations

import re
import subprocess
import sys
from html import escape
from pathlib import Path

import msgspec

from ledger.contracts.codec import job_refused
from ledger.contracts.failures import Failure, FailureCode, JobFailedError
from ledger.contracts.job_reports.backtest_report import BacktestReport
from ledger.contracts.reports import Report
from ledger.scratch_folders import ScratchFolder
from producer.errors import LOCAL_JOB_ID
from producer.output.backtest_tables import FORECAST_NAMES, tables_by_subject
from producer.output.html_parts import estimate_cells, figure_list, html_page, html_table

ALT_TEXTS = {
    "against_the_market": "Log loss of every forecast minus the market's, with 95% intervals",
    "reliability": "Share of the likelier fighters who won against the probability they were given",
    "coverage_by_year": "Share of closing odds inside the 80% and 95% intervals, by year",
    "bankroll": "Profit in units of the betting rules, month by month",
    "closing_line": "Closing-line value of the betting rules, with 95% intervals",
}
"""Alternative text of each plot."""


def write_page(report: BacktestReport, path: Path) -> None:
    """Write the page. Raises JobRefusedError if it cannot be written, JobFailedError if the plots cannot be drawn."""
    with ScratchFolder("plots") as scratch:
        draw_plots(report, scratch.path)
        drawings = {drawing.stem: drawing.read_text(encoding="utf-8") for drawing in sorted(scratch.path.glob("*.svg"))}
    try:
        path.write_text(render_page(report, drawings), encoding="utf-8")
    except OSError as error:
        raise job_refused(f"{path} cannot be written: {error.strerror}") from error


def draw_plots(report: Report, folder: Path) -> None:
    """Draw the plots in a separate process, so that this one loads no plotting library. Raises JobFailedError."""
    command = [sys.executable, "-m", "engine.evaluation.plots", "--out", str(folder)]
    run = subprocess.run(command, input=msgspec.json.encode(report), capture_output=True, check=False)
    if run.returncode:
        message = f"the plots could not be drawn: {run.stderr.decode(errors='replace').strip()[-500:]}"
        raise JobFailedError(LOCAL_JOB_ID, Failure(code=FailureCode.INTERNAL, message=message))


def render_page(report: BacktestReport, drawings: dict[str, str]) -> str:
    """Render the page; `drawings` are SVG documents by name."""
    tables = tables_by_subject(report)
    served, intervals, reliability = (
        "".join(map(html_table, each)) for each in (tables.served, tables.intervals, tables.reliability)
    )

    def plots(*names: str) -> str:
        figures = "".join(_figure(name, drawings[name]) for name in names if name in drawings)
        return f'<div class="plots">{figures}</div>' if figures else ""

    title = f"Backtest, {report.first_day} to {report.last_day}"
    content = f"""<h1>{title}</h1>
<p class="soft">{report.scored_fights:,} scored of {report.forecast_fights:,} fights at {report.events:,} events, each
forecast by a model that had seen only earlier days. In brackets: 95% intervals, by event.</p>
{_figures(report)}
<h2>Forecasts against the market</h2>
{plots("against_the_market", "reliability")}
{html_table(tables.scores)}{reliability}
<h2>Served answers</h2>
{served}
<h2>Intervals</h2>
<p>Share of the recalibrated closing odds inside the interval of statistics and past fights' odds. A fight's true
probability is unknown; the closing odds are a proxy for it, with errors of their own.</p>
{plots("coverage_by_year")}
{intervals}
<h2>Betting</h2>
<p>One unit on each bet that a rule selects. {report.rules_tried} rules were tried, so the best of them is partly luck.
Closing-line value is the expected return of the bets if the closing odds are correct: at closing prices it is negative,
by the margin paid.</p>
{plots("bankroll", "closing_line")}
{html_table(tables.rules)}
<h2>How it was made</h2>
<p>{_made(report)}</p>
<p class="soft">Data: SHA-256 <code>{report.data_digest}</code>. The same job on the same data gives the same
page.</p>"""
    return html_page(title, content)


def _figures(report: BacktestReport) -> str:
    entries = [
        (
            f"{FORECAST_NAMES[score.forecast]}, log loss minus the market's",
            estimate_cells(score.minus_market, "{:+.4f}"),
        )
        for score in report.scores
        if score.forecast in ("statistics_only", "market_aware") and score.minus_market
    ]
    entries += [
        (f"closing odds inside the {coverage.level:.0%} interval", estimate_cells(coverage.inside, "{:.1%}"))
        for coverage in report.slices[0].coverage
        if coverage.inside
    ]
    if report.both_sides_return is not None:
        entries.append(("return of betting both sides", (f"{report.both_sides_return:+.1%}", "the bookmakers' margin")))
    return figure_list(entries)


def _made(report: BacktestReport) -> str:
    models = f"{report.models} model{'s' if report.models != 1 else ''}"
    return (
        f"Walk forward: {models}, each trained on all fights before its first day, predicted the following fights. "
        "Decided fights with closing odds are scored, or all decided fights if none has odds. The market is the "
        "closing odds without the margin (power method). Intervals are by event, because the fights of one event are "
        "not independent. Numbers that need odds are left out if there are none."
    )


def _figure(name: str, drawing: str) -> str:
    """Return a plot as HTML: black in the text's colour, white transparent, blue in the page's blue."""
    svg = re.sub(r"<metadata>.*?</metadata>", "", drawing[drawing.index("<svg") :], flags=re.DOTALL)
    svg = svg.replace("fill: #ffffff", "fill: none").replace("#000000", "currentColor")
    svg = svg.replace("#0072b2", "var(--blue)")
    label = escape(ALT_TEXTS[name], quote=True)
    return f'<figure><svg role="img" aria-label="{label}"{svg.removeprefix("<svg")}</figure>'
