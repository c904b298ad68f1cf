"""Numbers in tables: estimates with their intervals, percentages, and tables of numbers."""

from __future__ import annotations

from collections.abc import Callable

from rich.table import Table
from rich.text import Text

from ledger.contracts.job_reports.backtest_report import Estimate
from ledger.contracts.job_state import Progress

NOTHING = "-"


def estimate_text(estimate: Estimate | None, write: Callable[[float], str], unit: str = "") -> str:
    """Format an estimate, with its interval if it has one; a dash for None."""
    if estimate is None:
        return NOTHING
    if estimate.lower is None or estimate.upper is None:
        return f"{write(estimate.value)}{unit}"
    return f"{write(estimate.value)}{unit} [{write(estimate.lower)}, {write(estimate.upper)}]"


def share_text(estimate: Estimate | None) -> str:
    """Format an estimated share as a percentage."""
    return estimate_text(estimate, lambda value: f"{100 * value:.1f}", "%")


def number_table(title: str, *columns: str) -> Table:
    """Return an empty table: first column left-aligned, the others right-aligned, no cell wrapped."""
    table = Table(title=Text(title), title_justify="left", caption_justify="left")
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place < 1 else "right", no_wrap=True)
    return table


def progress_text(news: Progress) -> str:
    """Format the progress of a job."""
    left = "" if news.left_seconds is None else f", about {news.left_seconds:.0f} s left"
    return f"{news.stage}, {news.done} of {news.total}{left}" if news.total else news.stage
