"""The command `models promote`: evaluate a challenger and promote it if it is as good as the champion."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import click

from ledger.contracts.job_state import Outcome
from ledger.contracts.jobs import JudgeModels, StateKind
from ledger.models.aliases import CHAMPION
from ledger.models.promotions import passes
from producer.cli.commands.backtest import DayParam
from producer.cli.options.audit import audit_options
from producer.cli.options.idempotency import describe_existing, stored_outcome, submission_key
from producer.cli.options.training import data_options, training_fields
from producer.client import Client, require_report
from producer.operations.evaluations import stored_evaluation
from producer.output.console import Console, json_option, pass_console
from producer.output.exit_codes import ExitCode
from producer.output.model_tables import history_table
from producer.output.progress import wait_with_progress
from producer.output.report_tables import report_tables


@click.command()
@click.argument("model")
@click.option("--alias", default=CHAMPION, show_default=True, help="Alias to move to the model.")
@click.option("--data", type=click.Path(path_type=Path), metavar="FOLDER", help="Fight log to evaluate on.")
@data_options
@click.option(
    "--walk-forward",
    "first_day",
    type=DayParam(1, 1),
    metavar="YEAR",
    help="Or a day: evaluate models of the same settings, each trained on earlier fights only, from this day on.",
)
@click.option("--refit-months", type=click.IntRange(min=1), help="Months that such a model predicts; default: 12.")
@click.option(
    "--state",
    type=click.Choice(get_args(StateKind)),
    help="Fighters' states from which the compared answers come: fresh (default), as if updated after each event, or "
    "lagging, those of each model's own snapshot.",
)
@click.option("--max-training-time", "max_training_time_seconds", type=float, metavar="SECONDS")
@click.option("--max-memory-mb", type=float)
@click.option(
    "--judgement", metavar="JOB_ID", help="Use this evaluation, which has ended, such as that of a chain of jobs."
)
@click.option("--force", is_flag=True, help="Promote without or against the evaluation; the history records it.")
@click.option("--rerun", is_flag=True, help="Evaluate again even if the same evaluation is stored.")
@click.option(
    "--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Limit of the evaluation; default: none."
)
@audit_options(required=True)
@json_option
@pass_console
def promote(
    console: Console,
    /,
    model: str,
    alias: str,
    data: Path | None,
    matrix: Path | None,
    judgement: str | None,
    force: bool,
    rerun: bool,
    timeout: float | None,
    user: str,
    reason: str,
    **options: Any,
) -> None:
    """Promote a model if it is as good as the champion.

    A training worker compares the model with the champion, the best model before it (the anchor) and the market, on
    the fights of the log that none has seen. If these are too few, train with an earlier --cutoff, or evaluate the
    settings with --walk-forward. A model that is worse, less well calibrated, or whose intervals are too narrow or too
    wide is refused: see docs/concepts/models.md. Each further try against the same champion needs stronger evidence.

    --force overrides the verdict, but not a model that cannot be loaded; it begins a new sequence of promotions.
    """
    if data is not None and matrix is not None:
        raise click.UsageError("Name either --data FOLDER with a fight log, or --matrix FILE.")
    path = data or matrix
    if path is not None and judgement is not None:
        raise click.UsageError("Name either the fights to evaluate on, or the --judgement to use.")
    if path is None and judgement is None and not force:
        raise click.UsageError("Name the fights to evaluate on: --data FOLDER or --matrix FILE; or a --judgement.")
    with Client.from_env() as client:
        promotions = client.ledger.promotions
        challenger = client.ledger.models.find(model)["digest"]
        standing = client.ledger.aliases.resolve(alias)
        comparison = None if judgement is None else stored_evaluation(client.ledger, judgement)
        if path is not None:
            job = promotions.plan_comparison(
                alias, challenger, training_fields(path.absolute(), matrix is not None, options)
            )
            comparison = job, _evaluate(client, console, job, submission_key(None, rerun), timeout)
            promotions.check_comparison(alias, *comparison)
            if not force:
                require_report(comparison[1])  # raises if the evaluation failed: then there is no promotion
        outcome = None if comparison is None else comparison[1]
        report = None if outcome is None else outcome.report
        tables = report_tables(report) if report is not None else []
        if outcome is not None and not passes(outcome) and not force:
            console.output({"promoted": False, "judgement": outcome, "change": None}, *tables)
            console.note(
                f"{alias} stays {standing[:12] if standing else 'without a model'}; --force overrides the verdict"
            )
            click.get_current_context().exit(ExitCode.FAILED)
        change = promotions.promote(
            alias,
            challenger,
            comparison,
            force=force,
            expected=standing,
            verify=client.ledger.verification.verify_model,
            user=user,
            reason=reason,
        )
    console.output(
        {"promoted": True, "judgement": outcome, "change": change}, *tables, history_table([change], "Moved")
    )
    console.note(f"To undo: cornerman models rollback{'' if alias == CHAMPION else f' --alias {alias}'} --reason TEXT")


def _evaluate(client: Client, console: Console, job: JudgeModels, key: str | None, timeout: float | None) -> Outcome:
    receipt = client.enqueue(job, key=key)
    stored = stored_outcome(client, receipt)
    if note := describe_existing(receipt, stored, "--rerun"):
        console.note(note)
    return stored or wait_with_progress(client, console, receipt.job_id, timeout)
