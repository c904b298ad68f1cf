"""The command `models collect`: have what nothing refers to removed from the store."""

from __future__ import annotations

import uuid

import click

from ledger.contracts.jobs import CollectGarbage
from ledger.contracts.reports import GarbageReport
from producer.cli.output.console import Screen, json_option, pass_screen
from producer.cli.output.progress import watch
from producer.cli.output.report_tables import report_tables
from producer.client import Client, report_of


@click.command()
@click.option("--keep-days", type=click.FloatRange(min=0), default=7.0, show_default=True, help="For models.")
@click.option(
    "--keep-training-days", type=click.FloatRange(min=0), default=2.0, show_default=True, help="For parts of trainings."
)
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option("--adopt", is_flag=True, help="Also what no ledger has claimed: if no other ledger uses the store.")
@click.option("--timeout", type=click.FloatRange(min=0), default=600.0, show_default=True, metavar="SECONDS")
@json_option
@pass_screen
def collect(
    screen: Screen, keep_days: float, keep_training_days: float, dry_run: bool, adopt: bool, timeout: float
) -> None:
    """Remove models that nothing refers to, and what old trainings left behind.

    Kept are models that an alias stands for or ever stood for, those that a kept job or outcome names, and younger
    ones than --keep-days. Of a store that several ledgers share each collects what it alone uses. A training worker
    does it, on the store of its pool.
    """
    job = CollectGarbage(
        keep_days=keep_days,
        keep_training_days=keep_training_days,
        dry_run=dry_run,
        adopt=adopt,
        nonce=uuid.uuid4().hex,
    )
    with Client.from_env() as client:
        outcome = watch(client, screen, client.enqueue(job).job_id, timeout)
    report = report_of(outcome)
    screen.answer(report, *report_tables(report))
    if not isinstance(report, GarbageReport):
        return
    if not report.models and not report.trainings:
        screen.remark("Nothing to remove.")
    if report.unclaimed:
        screen.remark(
            f"{report.unclaimed} more stay, because no ledger has claimed them: if no other uses this store, --adopt"
        )
