"""The command `replay`: have an outcome made again, and see whether it is the same."""

from __future__ import annotations

import uuid

import click

from ledger.contracts.failures import LedgerError
from ledger.contracts.jobs import ROUTES, Replay, Retrain
from ledger.contracts.replay_report import ReplayReport
from producer.cli.commands.jobs import known
from producer.cli.output.console import Screen, json_option, pass_screen
from producer.cli.output.exit_codes import ExitCode
from producer.cli.output.progress import watch
from producer.cli.output.report_tables import report_tables
from producer.client import Client, report_of


@click.command()
@click.argument("job_id")
@click.option("--retrain", is_flag=True, help="For a training or a backtest: do all of it again.")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Default: 60; with --retrain no end.")
@json_option
@pass_screen
def replay(screen: Screen, job_id: str, retrain: bool, timeout: float | None) -> None:
    """Make a kept outcome again and compare.

    A pool takes the job as it was submitted, the model that answered, the controls that were set and the moment
    of the claim, computes everything anew, and says whether every bit is the same, or names the first field that
    is not. On another processor, or with other libraries, numbers may differ by 1e-12.

    Failures are made again as answers are. What the clock, the machine or the caller decided (a worker lost, a
    limit, a deadline, a cancel) cannot be, and is said to be so. Nothing is changed: the outcome stays, no model
    is kept, no alias moved.
    """
    with Client.from_env() as client:
        status = known(client.status(job_id))
        if not status.state.final:
            raise LedgerError(f"job {job_id} is {status.state}: wait for its outcome (cornerman result {job_id})")
        long = ROUTES[status.kind or ""].queue == "train"
        if long and not retrain:
            raise click.UsageError(f"Job {job_id} is a {status.kind}, which takes its time: add --retrain.")
        # The nonce makes each question a job of its own: an old comparison says nothing about now.
        nonce = uuid.uuid4().hex
        receipt = client.enqueue(Retrain(job_id=job_id, nonce=nonce) if long else Replay(job_id=job_id, nonce=nonce))
        outcome = watch(client, screen, receipt.job_id, timeout if timeout is not None else None if long else 60.0)
    report = report_of(outcome)
    screen.answer(outcome, *report_tables(report))
    if not isinstance(report, ReplayReport) or not report.agrees:
        click.get_current_context().exit(ExitCode.FAILED)
