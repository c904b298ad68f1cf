"""The command group `models` on the model registry: list, show, diff, history and rollback."""

from __future__ import annotations

import click

from ledger.models.aliases import CHAMPION, MAX_MOVES
from ledger.models.verification import VERIFICATION_TIMEOUT_SECONDS
from producer.cli.options.audit import audit_options
from producer.client import Client
from producer.output.console import Console, json_option, pass_console
from producer.output.model_tables import diff_table, history_table, model_tables, models_table, summary_differences


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def models(context: click.Context) -> None:
    """List and manage trained models.

    MODEL is an alias, a digest, or the beginning of a digest. Without a subcommand the models are listed. The history
    records every move of an alias, with its reason and evidence. See docs/concepts/models.md.
    """
    if context.invoked_subcommand is None:
        context.invoke(list_models)


@models.command("list")
@json_option
@pass_console
def list_models(console: Console) -> None:
    """List the models and their aliases."""
    with Client.from_env() as client:
        known = client.ledger.models.all()
    console.output({"models": known}, *([models_table(known)] if known else []))
    if not known:
        console.note("No model yet. Train one: cornerman train FOLDER")


@models.command()
@click.argument("model")
@json_option
@pass_console
def show(console: Console, model: str) -> None:
    """Show everything about a model.

    Shows its data and their last day, settings, metrics, versions, aliases, and when each alias moved to or from it.
    """
    with Client.from_env() as client:
        known = client.ledger.models.find(model)
        changes = [
            change
            for change in client.ledger.aliases.all_histories(MAX_MOVES)
            if known["digest"] in (change.before, change.after)
        ]
    console.output({**known, "history": changes}, *model_tables(known, changes))


@models.command()
@click.argument("one")
@click.argument("other")
@json_option
@pass_console
def diff(console: Console, one: str, other: str) -> None:
    """Show the differences between two models.

    Compares their data, settings, metrics and versions. Metrics on different fights are not comparable: to find out
    which model is better, use `cornerman models promote`.
    """
    with Client.from_env() as client:
        first, second = client.ledger.models.find(one), client.ledger.models.find(other)
    found = summary_differences(first["summary"], second["summary"])
    document = {"one": first["digest"], "other": second["digest"], "differences": found}
    console.output(document, *([diff_table(first, second, found)] if found else []))
    if not found:
        console.note("No difference.")


@models.command()
@click.argument("alias", required=False)
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True)
@json_option
@pass_console
def history(console: Console, alias: str | None, limit: int) -> None:
    """Show the moves of aliases, newest first.

    Shows all aliases, or ALIAS only. With --json includes the evidence: the evaluation's job and report, or the
    training that moved the alias.
    """
    with Client.from_env() as client:
        if alias is not None:
            changes = client.ledger.aliases.history(alias, limit)
        else:
            changes = client.ledger.aliases.all_histories(limit)
    console.output({"history": changes}, *([history_table(changes)] if changes else []))
    if not changes:
        never = "No alias was ever moved" if alias is None else f"{alias} has never named a model"
        console.note(f"{never}. List the models: cornerman models")


@models.command()
@click.option("--alias", default=CHAMPION, show_default=True)
@click.option("--to", metavar="MODEL", help="Earlier model to roll back to; default: the previous one.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=VERIFICATION_TIMEOUT_SECONDS,
    show_default=True,
    metavar="SECONDS",
)
@audit_options(required=True)
@json_option
@pass_console
def rollback(console: Console, alias: str, to: str | None, timeout: float, user: str, reason: str) -> None:
    """Roll an alias back to its previous model.

    Takes effect from the next card on, in every pool, without a restart. A worker loads the model first, and a model
    that cannot be loaded is refused. Running the command twice goes back two steps.
    """
    with Client.from_env() as client:
        change = client.ledger.aliases.roll_back(
            alias,
            verify=lambda digest: client.ledger.verification.verify_model(digest, timeout),
            to=None if to is None else client.ledger.models.find(to)["digest"],
            user=user,
            reason=reason,
        )
    console.output({"change": change}, history_table([change], "Moved"))
