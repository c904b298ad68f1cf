"""The command `models promote`: evaluate a challenger and promote it if it is as good as the champion."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import click
import msgspec
from msgspec import UNSET

from ledger.contracts.codec import job_refused
from ledger.contracts.job_state import Outcome
from ledger.contracts.jobs import JudgeModels, StateKind
from ledger.contracts.judgement_report import JudgementReport
from ledger.models.aliases import CHAMPION
from ledger.models.promotions import ANCHOR_KEY, next_anchor
from producer.cli.commands.backtest import DayParam
from producer.cli.options.audit import audit_options
from producer.cli.options.idempotency import describe_existing, stored_outcome, submission_key
from producer.cli.options.model_lookup import resolve_model
from producer.cli.options.training import data_options, training_fields
from producer.client import Client, require_report
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
    if path is None and not force:
        raise click.UsageError("Name the fights to evaluate on: --data FOLDER or --matrix FILE.")
    with Client.from_env() as client:
        challenger = resolve_model(client, model)["digest"]
        standing = client.ledger.aliases.resolve(alias)
        if standing == challenger:
            raise job_refused(f"{alias} is already {challenger[:12]}")
        outcome = None
        if path is not None:
            fields = training_fields(path.absolute(), matrix is not None, options)
            anchor = client.ledger.promotions.anchor(alias, standing)
            job = JudgeModels(
                challenger=challenger,
                champion=standing,
                anchor=None if anchor in (standing, challenger) else anchor,
                **fields,
            )
            outcome = _evaluate_try(client, console, alias, job, rerun, timeout)
            if not force:
                require_report(outcome)  # raises if the evaluation failed: then there is no promotion
        report = outcome.report if outcome is not None else None
        passed = isinstance(report, JudgementReport) and report.verdict.promote
        tables = report_tables(report) if report is not None else []
        if not passed and not force:
            console.output({"promoted": False, "judgement": outcome, "change": None}, *tables)
            console.note(
                f"{alias} stays {standing[:12] if standing else 'without a model'}; --force overrides the verdict"
            )
            click.get_current_context().exit(ExitCode.FAILED)
        change = client.ledger.aliases.move(
            alias,
            challenger,
            verify=client.ledger.verification.verify_model,
            user=user,
            reason=reason,
            expected=standing,
            evidence=_evidence(outcome, forced=not passed),
        )
    console.output(
        {"promoted": True, "judgement": outcome, "change": change}, *tables, history_table([change], "Moved")
    )
    console.note(f"To undo: cornerman models rollback{'' if alias == CHAMPION else f' --alias {alias}'} --reason TEXT")


def _evaluate_try(
    client: Client, console: Console, alias: str, job: JudgeModels, rerun: bool, timeout: float | None
) -> Outcome:
    """Evaluate a challenger through a job, and count the try against the champion."""
    counted = client.ledger.promotions.count_try(alias, job)
    outcome = _evaluate(client, console, counted, submission_key(None, rerun), timeout)
    report = outcome.report
    if not isinstance(report, JudgementReport):
        client.ledger.promotions.uncount_try(alias, job)
    elif (report.anchor, report.tries, _state(report)) != (counted.anchor, counted.tries, counted.state):
        raise job_refused(
            "the pool that evaluated the models ignored the anchor, the tries or the state: upgrade the training pools"
        )
    return outcome


def _state(report: JudgementReport) -> StateKind:
    return "fresh" if report.served is UNSET else report.served.state


def _evaluate(client: Client, console: Console, job: JudgeModels, key: str | None, timeout: float | None) -> Outcome:
    receipt = client.enqueue(job, key=key)
    stored = stored_outcome(client, receipt)
    if note := describe_existing(receipt, stored, "--rerun"):
        console.note(note)
    return stored or wait_with_progress(client, console, receipt.job_id, timeout)


def _evidence(outcome: Outcome | None, *, forced: bool) -> dict[str, Any]:
    """Return the evidence of a promotion for the history: the evaluation's job and its report or failure.

    Includes the anchor for the next promotion, unless the promotion is forced: then the model itself is the anchor.
    """
    if outcome is None:
        return {"forced": forced}
    found = {"report": outcome.report} if outcome.report is not None else {"failure": outcome.failure}
    anchor = (
        {} if forced or not isinstance(outcome.report, JudgementReport) else {ANCHOR_KEY: next_anchor(outcome.report)}
    )
    return {"forced": forced, "judgement": outcome.job_id, **anchor, **msgspec.to_builtins(found)}
