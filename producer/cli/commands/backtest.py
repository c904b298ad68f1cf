"""The command `backtest`: have past fights forecast by models that had not seen them, and see what it was worth."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import click

from ledger.contracts.backtest_report import BacktestReport
from ledger.contracts.job_state import Outcome
from ledger.contracts.jobs import Backtest
from ledger.contracts.local_protocol import BacktestHere
from ledger.contracts.reports import Report
from producer.cli.options.training import plan_fields, plan_options
from producer.cli.output.console import Screen, json_option, pass_screen
from producer.cli.output.progress import watch
from producer.cli.output.report_tables import report_tables
from producer.client import Client, report_of
from producer.local.backtest_html import draw, write_page
from producer.local.subprocess_runner import backtest_here
from producer.service.pool_process import require


class Day(click.ParamType[date]):
    """A day, or a year, which means its first or its last day."""

    name = "day"

    def __init__(self, month: int, day: int) -> None:
        self._of_year = (month, day)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """Read `2016` or `2016-07-01`."""
        try:
            return date(int(value), *self._of_year) if len(value) == len("2016") else date.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is neither a year like 2016 nor a day like 2016-07-01", param, ctx)


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--from", "first_day", type=Day(1, 1), metavar="YEAR", help="Or a day. Default: the median fight's year.")
@click.option("--to", "last_day", type=Day(12, 31), metavar="YEAR", help="Or a day. Default: the last fight's.")
@click.option("--refit-months", type=click.IntRange(min=1), help="How long a model serves; default: 12.")
@plan_options(Backtest)
@click.option("--local", is_flag=True, help="Run on this machine, without a server.")
@click.option("--records", type=click.Path(path_type=Path), metavar="FILE", help="With --local: every fight, as CSV.")
@click.option("--plots", type=click.Path(path_type=Path), metavar="FOLDER", help="Draw the report, as PNG and SVG.")
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Write the report as one page.")
@click.option("--wait", is_flag=True, help="Show the progress and the report; --plots and --html wait anyway.")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="With --wait; default: no end.")
@json_option
@pass_screen
def backtest(
    screen: Screen,
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
    """Forecast the past and score it.

    On a fight log (FOLDER) or on a ready feature matrix (--matrix). Each model learns from the fights before a
    day and answers those of the months that follow. The report says how good the forecasts were beside the
    market, how often its closing odds lay inside the intervals, and what rules for betting would have brought.

    The training pool runs it, or with --local this machine. It takes minutes for each year.
    """
    if (folder is None) == (matrix is None):
        raise click.UsageError("Name either FOLDER with a fight log, or --matrix FILE.")
    if records is not None and not local:
        raise click.UsageError("--records is written by this machine: add --local.")
    if local and timeout is not None:
        raise click.UsageError("With --local there is no job: leave out --timeout.")
    if plots is not None or html is not None:
        require("engine", "matplotlib", "engine")
    path = (folder or matrix or Path()).absolute()
    job = Backtest(**plan_fields(path, matrix is not None, options))
    answer: Outcome | Report
    report: Report
    if local:
        kept = None if records is None else str(records.absolute())
        report = answer = backtest_here(BacktestHere(job=job, records=kept), screen)
    else:
        with Client.from_env() as client:
            receipt = client.enqueue(job)
            if not wait and plots is None and html is None:
                screen.answer(receipt, f"Enqueued as {receipt.job_id}. See it: cornerman result {receipt.job_id}")
                return
            answer = watch(client, screen, receipt.job_id, timeout)
        report = report_of(answer)
    screen.answer(answer, *report_tables(report))
    if plots is not None:
        draw(report, plots)
        screen.remark(f"Drawn in {plots}")
    if html is not None and isinstance(report, BacktestReport):
        write_page(report, html)
        screen.remark(f"Written to {html}: open it in a browser")
