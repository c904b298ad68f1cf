"""The `cornerman` command line: command registration, error messages and exit codes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from ledger.contracts.failures import JobFailedError, JobRefusedError
from ledger.server.server_memory import EvictionWarning
from producer.cli.command_table import COMMANDS
from producer.cli.lazy_group import LazyGroup
from producer.errors import LOCAL_JOB_ID
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


class Cornerman(LazyGroup):
    """The top-level command group; turns expected errors into a message and an exit code."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, with the exit codes at the end of its help."""
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            command.epilog = EXIT_CODES
        return command

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


@click.group(
    cls=Cornerman,
    package="producer.cli.commands",
    table=COMMANDS,
    help=HELP,
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="cornerman")
def main() -> None:
    """Run the command line."""


if __name__ == "__main__":
    main()
