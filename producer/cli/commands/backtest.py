"""The command `backtest`: forecast past fights with models trained on earlier fights, and score the forecasts."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import click

from ledger.contracts.job_reports.backtest_report import BacktestReport
from ledger.contracts.job_state import Outcome
from ledger.contracts.jobs import Backtest
from ledger.contracts.local_protocol import BacktestLocally
from ledger.contracts.reports import Report
from producer.cli.options.idempotency import receipt_text
from producer.cli.options.training import data_path, training_fields, training_options
from producer.client import Client, require_report
from producer.local.backtest_html import draw_plots, write_page
from producer.local.subprocess_runner import backtest_locally
from producer.output.console import Console, json_option, pass_console
from producer.output.progress import wait_with_progress
from producer.output.report_tables import report_tables
from producer.service.service_process import require_modules


class DayParam(click.ParamType[date]):
    """Command-line type for a day, or for a year, which stands for a fixed day of it."""

    name = "day"

    def __init__(self, month: int, day: int) -> None:
        self._of_year = (month, day)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """Parse `2016` or `2016-07-01`."""
        try:
            return date(int(value), *self._of_year) if len(value) == len("2016") else date.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is neither a year like 2016 nor a day like 2016-07-01", param, ctx)


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option(
    "--from",
    "first_day",
    type=DayParam(1, 1),
    metavar="YEAR",
    help="First year, or day. Default: the year of the median fight.",
)
@click.option(
    "--to",
    "last_day",
    type=DayParam(12, 31),
    metavar="YEAR",
    help="Last year, or day. Default: the day of the last fight.",
)
@click.option("--refit-months", type=click.IntRange(min=1), help="Months between refits; default: 12.")
@training_options(Backtest)
@click.option("--local", is_flag=True, help="Run on this machine, without a server.")
@click.option(
    "--records", type=click.Path(path_type=Path), metavar="FILE", help="Write every fight as CSV; needs --local."
)
@click.option("--plots", type=click.Path(path_type=Path), metavar="FOLDER", help="Write plots, as PNG and SVG.")
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Write the report as one HTML page.")
@click.option("--wait", is_flag=True, help="Wait, and show the report; --plots and --html imply it.")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Limit of --wait; default: none.")
@json_option
@pass_console
def backtest(
    console: Console,
    /,
    folder: Path | None,
    matrix: Path | None,
    local: bool,
    records: Path | None,
    plots: Path | None,
    html: Path | None,
    wait: bool,
    timeout: float | None,
    **options: Any,
) -> None:
    """Forecast past fights and score the forecasts.

    Uses a fight log (FOLDER) or a feature matrix (--matrix). Each model is trained on the fights before a day and
    forecasts the fights of the following months. The report compares the forecasts with the market, shows how often
    the closing odds lay inside the intervals, and the returns of betting rules.

    Runs on the training pool, or with --local on this machine. It takes minutes for each year.
    """
    path = data_path(folder, matrix)
    if records is not None and not local:
        raise click.UsageError("--records is written on this machine: add --local.")
    if local and timeout is not None:
        raise click.UsageError("With --local there is no job: leave out --timeout.")
    if plots is not None or html is not None:
        require_modules("engine", "matplotlib", "engine")
    job = Backtest(**training_fields(path, matrix is not None, options))
    answer: Outcome | Report
    report: Report
    if local:
        kept = None if records is None else str(records.absolute())
        report = answer = backtest_locally(BacktestLocally(job=job, records=kept), console)
    else:
        with Client.from_env() as client:
            receipt = client.enqueue(job)
            if not wait and plots is None and html is None:
                console.output(receipt, receipt_text(receipt))
                return
            answer = wait_with_progress(client, console, receipt.job_id, timeout)
        report = require_report(answer)
    console.output(answer, *report_tables(report))
    if plots is not None:
        draw_plots(report, plots)
        console.note(f"Plots written to {plots}")
    if html is not None and isinstance(report, BacktestReport):
        write_page(report, html)
        console.note(f"Written to {html}: open it in a browser")
