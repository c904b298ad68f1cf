"""The command `check`: read a fight log or a feature matrix as a training does, and report all faults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec
from rich.table import Table

from ledger.contracts.local_protocol import CheckData, DataReport
from producer.cli.options.training import data_options, data_path, pop_matrix_columns
from producer.local.subprocess_runner import check_data
from producer.output.console import Console, json_option, pass_console
from producer.output.exit_codes import ExitCode
from producer.output.report_tables import records_table


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@data_options
@json_option
@pass_console
def check(console: Console, /, folder: Path | None, matrix: Path | None, **options: Any) -> None:
    """Check a fight log or a feature matrix.

    Reads FOLDER, or --matrix FILE, on this machine, as `cornerman train` does, and shows every fault with its file,
    line, number of rows and remedy. The exit code is 1 if there are faults.
    """
    path = data_path(folder, matrix)
    columns = pop_matrix_columns(options)
    report = check_data(CheckData(data=str(path), matrix=None if matrix is None else columns), console)
    console.output(report, _table(report))
    if report.faults:
        click.get_current_context().exit(ExitCode.FAILED)


def _table(report: DataReport) -> Table:
    if not report.faults:
        figures = msgspec.to_builtins(report)
        columns = [name for name in figures if figures[name] is not None and name not in ("data", "faults")]
        return records_table("No faults", columns, [figures])
    title = f"{len(report.faults)} {'fault' if len(report.faults) == 1 else 'faults'}"
    faults = [msgspec.to_builtins(fault) for fault in report.faults]
    return records_table(title, ("file", "line", "rows", "message"), faults)
