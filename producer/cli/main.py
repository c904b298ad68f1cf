"""The `cornerman` command line: command registration, error messages and exit codes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from ledger.contracts.failures import JobFailedError, JobRefusedError
from ledger.server.server_memory import EvictionWarning
from producer.cli.commands.backtest import backtest
from producer.cli.commands.bets.audit import audit
from producer.cli.commands.bets.bets import bets
from producer.cli.commands.chains import chains
from producer.cli.commands.check import check
from producer.cli.commands.demo import demo
from producer.cli.commands.enqueue import enqueue
from producer.cli.commands.feeds.feed import feed
from producer.cli.commands.feeds.fight_log import fight_log
from producer.cli.commands.feeds.prices import prices
from producer.cli.commands.fight_results import fight_results
from producer.cli.commands.job_lists import jobs
from producer.cli.commands.jobs import cancel, follow, result
from producer.cli.commands.models.collect import collect
from producer.cli.commands.models.import_joblib import import_joblib
from producer.cli.commands.models.monitoring import clear_alarm, compare, review
from producer.cli.commands.models.promote import promote
from producer.cli.commands.models.registry import models
from producer.cli.commands.models.update import reanchor, update
from producer.cli.commands.operations.alerts import alerts
from producer.cli.commands.operations.controls import drain, pause, resume, scale, set_controls, unset
from producer.cli.commands.operations.dead_letters import dead_letters
from producer.cli.commands.operations.health import health
from producer.cli.commands.operations.quarantine import quarantine
from producer.cli.commands.operations.schedules import schedules
from producer.cli.commands.operations.status import status
from producer.cli.commands.operations.tokens import tokens
from producer.cli.commands.operations.webhooks import relay, webhooks
from producer.cli.commands.predict import predict
from producer.cli.commands.preflight import preflight
from producer.cli.commands.replay import replay
from producer.cli.commands.train import train
from producer.cli.commands.up import serve, up, worker
from producer.local.subprocess_runner import LOCAL_JOB_ID
from producer.output.console import Console
from producer.output.exit_codes import EXPECTED_ERRORS, MEANINGS, ExitCode, error_document, exit_code_for, hint_for

# The backspace keeps click from filling the lines that follow it.
HELP = """Predict fight cards: win probabilities with calibrated intervals.

\b
Try it:          cornerman demo
Run it here:     cornerman up
Train a model:   cornerman train FOLDER --wait
Predict a feed:  cornerman enqueue feed.json --format american --wait

Commands use the server of CORNERMAN_REDIS_URL. If it is not set, they use the server that `cornerman up` runs for
the folder of CORNERMAN_DATA (./.cornerman).
"""
EXIT_CODES = "\b\nExit codes:\n" + "\n".join(f"{code.value:>5}  {meaning}" for code, meaning in MEANINGS.items())


class Cornerman(click.Group):
    """The top-level command group; turns expected errors into a message and an exit code."""

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a command and append the exit codes to its help."""
        cmd.epilog = EXIT_CODES
        super().add_command(cmd, name)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the requested command."""
        console = ctx.ensure_object(Console)
        as_json = "--json" in ctx.args  # a usage error ends the parsing before the option's callback runs
        try:
            with _eviction_notes(console):
                return super().invoke(ctx)
        except click.ClickException as error:
            console.as_json |= as_json
            if console.as_json:
                console.output({"failure": {"code": ExitCode.REFUSED.name.lower(), "message": error.format_message()}})
            raise
        except EXPECTED_ERRORS as error:
            if console.as_json:
                console.output(error_document(error))
            console.note(f"cornerman: {error}")
            stored = isinstance(error, JobFailedError) and error.job_id != LOCAL_JOB_ID
            if isinstance(error, JobRefusedError | JobFailedError) and (hint := hint_for(error.failure, stored=stored)):
                console.note(hint)
            ctx.exit(exit_code_for(error))
        except KeyboardInterrupt:
            console.note("cornerman: stopped")
            ctx.exit(ExitCode.INTERRUPTED)


@contextmanager
def _eviction_notes(console: Console) -> Iterator[None]:
    """Show eviction warnings of the server as plain notes, without the code location that Python adds."""
    with warnings.catch_warnings():
        others = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if issubclass(category, EvictionWarning):
                console.note(f"cornerman: warning: {message}")
            else:
                others(message, category, *where, **more)

        warnings.showwarning = show
        yield


@click.group(cls=Cornerman, help=HELP, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cornerman")
def main() -> None:
    """Run the command line."""


for command in (
    demo,
    up,
    worker,
    serve,
    relay,
    check,
    train,
    backtest,
    predict,
    enqueue,
    result,
    follow,
    cancel,
    replay,
    feed,
    prices,
    status,
    alerts,
    audit,
    bets,
    health,
    models,
    fight_results,
    fight_log,
    jobs,
    chains,
    dead_letters,
    quarantine,
    tokens,
    webhooks,
    schedules,
    preflight,
    set_controls,
    unset,
    scale,
    pause,
    resume,
    drain,
):
    main.add_command(command)
for command in (update, reanchor, promote, import_joblib, collect, compare, review, clear_alarm):
    models.add_command(command)


if __name__ == "__main__":
    main()
