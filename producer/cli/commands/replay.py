"""The command `replay`: recompute an outcome and compare it with the stored one."""

from __future__ import annotations

import uuid

import click

from ledger.contracts.jobs import ReproduceTraining
from ledger.contracts.replay_report import ReplayReport
from producer.client import Client, require_report
from producer.output.console import Console, json_option, pass_console
from producer.output.exit_codes import ExitCode
from producer.output.progress import wait_with_progress
from producer.output.report_tables import report_tables
from producer.replays import replay_job


@click.command()
@click.argument("job_id")
@click.option("--retrain", is_flag=True, help="Recompute a training or a backtest in full.")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Default: 60; with --retrain none.")
@json_option
@pass_console
def replay(console: Console, job_id: str, retrain: bool, timeout: float | None) -> None:
    """Recompute a stored outcome and compare.

    A pool takes the job as it was submitted, the model, the controls and the time of the original claim, recomputes
    the outcome, and reports that every bit is the same, or the first field that differs. On another processor, or with
    other libraries, numbers may differ by 1e-12.

    Failures are recomputed as well. Outcomes decided by the clock, the machine or the caller (a lost worker, a limit,
    a deadline, a cancel) are reported as not replayable. A replay changes nothing: it stores no model, moves no alias
    and leaves the outcome as it is.
    """
    with Client.from_env() as client:
        job = replay_job(client.status(job_id), retrain=retrain, nonce=uuid.uuid4().hex)
        long = isinstance(job, ReproduceTraining)
        receipt = client.enqueue(job)
        outcome = wait_with_progress(
            client, console, receipt.job_id, timeout if timeout is not None else None if long else 60.0
        )
    report = require_report(outcome)
    console.output(outcome, *report_tables(report))
    if not isinstance(report, ReplayReport) or not report.agrees:
        click.get_current_context().exit(ExitCode.FAILED)
