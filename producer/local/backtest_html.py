"""A backtest's report as one self-contained HTML page with plots and tables.

The page depends on the report only, so the same report gives the same page. The tables are those of the terminal. A
separate process draws the plots as SVG; their black becomes the colour of the page's text, so that they are readable
in dark mode.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from html import escape
from pathlib import Path

import msgspec
from rich.table import Table

from ledger.contracts.codec import job_refused
from ledger.contracts.failures import Failure, FailureCode, JobFailedError
from ledger.contracts.job_reports.backtest_report import BacktestReport, Estimate
from ledger.contracts.reports import Report
from producer.local.subprocess_runner import LOCAL_JOB_ID
from producer.output.backtest_tables import FORECAST_NAMES, tables_by_subject

ALT_TEXTS = {
    "against_the_market": "Log loss of every forecast minus the market's, with 95% intervals",
    "reliability": "Share of the likelier fighters who won against the probability they were given",
    "coverage_by_year": "Share of closing odds inside the 80% and 95% intervals, by year",
    "bankroll": "Profit in units of the betting rules, month by month",
    "closing_line": "Closing-line value of the betting rules, with 95% intervals",
}
"""Alternative text of each plot."""

STYLE = """
:root {
  color-scheme: light dark;
  --text: #1d2329; --soft: #5b6570; --back: #ffffff; --line: #d9dee3; --card: #f5f7f9; --blue: #0072b2
}
@media (prefers-color-scheme: dark) {
  :root { --text: #e4e8ec; --soft: #9aa5b0; --back: #15191d; --line: #333b43; --card: #1e242a; --blue: #4da6e0 }
}
body { background: var(--back); color: var(--text); font: 16px/1.5 system-ui, sans-serif; margin: 0 }
main { margin: 0 auto; max-width: 68rem; padding: 2rem 1.25rem 4rem }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .4rem }
h2 { border-top: 1px solid var(--line); font-size: 1.2rem; margin: 2.6rem 0 .8rem; padding-top: 1.2rem }
p { max-width: 46rem } .soft { color: var(--soft) }
dl { display: grid; gap: .75rem; grid-template-columns: repeat(auto-fit, minmax(14rem, 1fr)); margin: 1.5rem 0 }
dl div { background: var(--card); border-radius: .4rem; padding: .8rem 1rem }
dt { color: var(--soft); font-size: .85rem } dd { font-size: 1.15rem; font-weight: 600; margin: .15rem 0 0 }
dd small { color: var(--soft); display: block; font-size: .85rem; font-weight: 400 }
.plots { display: grid; gap: 1.2rem; grid-template-columns: repeat(auto-fit, minmax(min(30rem, 100%), 1fr)) }
figure { margin: 0; max-width: 38rem } figure svg { display: block; fill: currentColor; height: auto; width: 100% }
.wide { margin: 1.2rem 0 .5rem; overflow-x: auto }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; white-space: nowrap }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .7rem; text-align: right }
th { color: var(--soft); font-weight: 500 } .left { text-align: left }
code { overflow-wrap: anywhere }
"""


def write_page(report: BacktestReport, path: Path) -> None:
    """Write the page. Raises JobRefusedError if it cannot be written, JobFailedError if the plots cannot be drawn."""
    with tempfile.TemporaryDirectory() as folder:
        draw_plots(report, Path(folder))
        drawings = {drawing.stem: drawing.read_text(encoding="utf-8") for drawing in sorted(Path(folder).glob("*.svg"))}
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
        "".join(map(_table, each)) for each in (tables.served, tables.intervals, tables.reliability)
    )

    def plots(*names: str) -> str:
        figures = "".join(_figure(name, drawings[name]) for name in names if name in drawings)
        return f'<div class="plots">{figures}</div>' if figures else ""

    title = f"Backtest, {report.first_day} to {report.last_day}"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>{title}</h1>
<p class="soft">{report.scored_fights:,} scored of {report.forecast_fights:,} fights at {report.events:,} events, each
forecast by a model that had seen only earlier days. In brackets: 95% intervals, by event.</p>
{_figures(report)}
<h2>Forecasts against the market</h2>
{plots("against_the_market", "reliability")}
{_table(tables.scores)}{reliability}
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
{_table(tables.rules)}
<h2>How it was made</h2>
<p>{_made(report)}</p>
<p class="soft">Data: SHA-256 <code>{report.data_digest}</code>. The same job on the same data gives the same page.</p>
</main>
</body>
</html>
"""


def _figures(report: BacktestReport) -> str:
    entries = [
        (f"{FORECAST_NAMES[score.forecast]}, log loss minus the market's", _written(score.minus_market, "{:+.4f}"))
        for score in report.scores
        if score.forecast in ("statistics_only", "market_aware") and score.minus_market
    ]
    entries += [
        (f"closing odds inside the {coverage.level:.0%} interval", _written(coverage.inside, "{:.1%}"))
        for coverage in report.slices[0].coverage
        if coverage.inside
    ]
    if report.both_sides_return is not None:
        entries.append(("return of betting both sides", (f"{report.both_sides_return:+.1%}", "the bookmakers' margin")))
    cells = (
        f"<div><dt>{escape(what)}</dt><dd>{escape(value)}<small>{escape(beside)}</small></dd></div>"
        for what, (value, beside) in entries
    )
    return f"<dl>{''.join(cells)}</dl>"


def _written(estimate: Estimate | None, form: str) -> tuple[str, str]:
    if estimate is None:
        return "-", ""
    if estimate.lower is None or estimate.upper is None:
        return form.format(estimate.value), ""
    return form.format(estimate.value), f"{form.format(estimate.lower)} to {form.format(estimate.upper)}"


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


def _table(table: Table) -> str:
    """Convert a table of the terminal to HTML."""
    sides = ["left" if column.justify == "left" else "" for column in table.columns]
    heads = "".join(
        f'<th class="{side}">{escape(str(column.header))}</th>'
        for side, column in zip(sides, table.columns, strict=True)
    )
    rows = zip(*(column.cells for column in table.columns), strict=True)
    body = "".join(
        "<tr>"
        + "".join(f'<td class="{side}">{escape(str(cell))}</td>' for side, cell in zip(sides, row, strict=True))
        + "</tr>"
        for row in rows
    )
    caption = " ".join(filter(None, (str(table.title or ""), f"({table.caption})" if table.caption else "")))
    label = escape(str(table.title or ""), quote=True)
    return (  # the caption stays outside the scrolling area, so that a narrow console does not cut it off
        f'<div class="wide"><table aria-label="{label}">'
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
        f'<p class="soft">{escape(caption)}</p>'
    )
