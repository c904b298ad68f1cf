"""A review of bets as one self-contained HTML page, without scripts and without anything to load.

The page depends on the report only, so the same report gives the same page.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from html import escape
from itertools import accumulate
from pathlib import Path

from rich.table import Table

from ledger.contracts.codec import job_refused
from ledger.contracts.job_reports.bets_report import BetsReport
from producer.output.bet_review.charts import line_chart
from producer.output.bet_review.review_tables import few_results, range_text, review_tables_by_subject
from producer.output.html_parts import estimate_cells, figure_list, html_page, html_table
from producer.output.table_parts import percent

CHART_STYLE = """<style>
.tick { stroke: var(--line) } .start { stroke: currentColor; stroke-dasharray: 4 4; opacity: .6 }
.curve { fill: none; stroke: var(--blue); stroke-width: 2 } figure text { font-size: 12px }
figcaption { font-size: .85rem }
</style>"""


def write_review_page(report: BetsReport, path: Path) -> None:
    """Write the page. Raises JobRefusedError if it cannot be written."""
    try:
        path.write_text(render_review(report), encoding="utf-8")
    except OSError as error:
        raise job_refused(f"{path} cannot be written: {error.strerror}") from error


def render_review(report: BetsReport) -> str:
    """Render the page."""
    tables = review_tables_by_subject(report)
    title = f"Review of bets: {range_text(report)}"
    content = f"""{CHART_STYLE}
<h1>{escape(title)}</h1>
<p class="soft">{report.total.bets:,} settled bets at {report.total.events:,} events; {report.open:,} open,
{report.void:,} void. Amounts are in the smallest unit of the currency. In brackets: 95% intervals, by event.</p>
{_figures(report)}
{_charts(report)}
<h2>All bets</h2>
{html_table(tables.total)}
<p>Closing-line value is the return to expect from these prices if the closing odds are right. It is much less noisy
than the return itself.</p>
<h2>Decision rules</h2>
{_section(tables.rules, "There are no settled bets.")}
<h2>Bookmakers and probabilities</h2>
{_section(tables.groups, "There are no settled bets.")}
<h2>Fights without a bet</h2>
{_section(tables.abstentions, "No fight with a price and a result was abstained from.")}
<h2>Days</h2>
{_days(report)}"""
    return html_page(title, content)


def _figures(report: BetsReport) -> str:
    total, fall = report.total, report.drawdown
    closing = total.closing
    value, interval = estimate_cells(total.return_on_stake, "{:+.1%}")
    luck = "the best of them is partly luck" if report.rules_tried > 1 else ""
    entries = [
        ("profit", (f"{total.profit:+,}", f"of {total.staked:,} staked")),
        ("return on stake", (value, interval or few_results(total))),
        ("closing-line value", estimate_cells(None if closing is None else closing.edge, "{:+.1%}")),
        ("beat the close", estimate_cells(None if closing is None else closing.beaten, "{:.0%}")),
        ("drawdown", (f"{fall.amount:,}", "" if fall.share is None else f"{percent(fall.share)} of the peak")),
        ("longest losing run", (f"{fall.longest_losing_run:,}", "bets")),
        ("rules tried", (f"{report.rules_tried:,}", luck)),
    ]
    return figure_list(entries)


def _charts(report: BetsReport) -> str:
    """Return the curves of the bankroll and of the closing-line value; none with fewer than two days."""
    if len(report.days) < 2:
        return ""
    days = [day.day for day in report.days]
    bankroll = [*accumulate((day.profit for day in report.days), initial=report.start)][1:]
    expected = [*accumulate(day.expected for day in report.days)]
    return "".join(
        (
            '<h2>Over time</h2><div class="plots">',
            _chart(days, bankroll, "Bankroll after each event", report.start),
            _chart(days, expected, "Closing-line value, in money: the profit to expect if the close is right", 0.0),
            "</div>",
        )
    )


def _chart(days: Sequence[date], values: Sequence[float], title: str, start: float) -> str:
    label = f"{title}: from {start:,.0f} before {days[0]} to {values[-1]:,.0f} on {days[-1]}"
    drawing = line_chart([*zip(days, values, strict=True)], label, start)
    return f'<figure>{drawing}<figcaption class="soft">{escape(label)}</figcaption></figure>'


def _section(tables: Sequence[Table], otherwise: str) -> str:
    return "".join(map(html_table, tables)) or f"<p>{escape(otherwise)}</p>"


def _days(report: BetsReport) -> str:
    rows = "".join(
        f'<tr><td class="left">{day.day}</td><td>{day.bets:,}</td><td>{day.staked:,}</td><td>{day.profit:+,}</td>'
        f"<td>{day.expected:+,.0f}</td></tr>"
        for day in report.days
    )
    if not rows:
        return "<p>There are no settled bets.</p>"
    heads = "".join(f"<th>{head}</th>" for head in ("bets", "staked", "profit", "expected by the close"))
    return (
        "<details><summary>What the curves show, in numbers</summary>"
        f'<div class="wide"><table aria-label="Days"><thead><tr><th class="left">day</th>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div></details>"
    )
