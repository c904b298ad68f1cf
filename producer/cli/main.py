"""The `cornerman` command line: its commands and its help. Running a command is in `producer.cli.invocation`."""

from __future__ import annotations

from typing import Any

import click

from producer.cli.command_table import COMMANDS
from producer.cli.lazy_group import LazyGroup
from producer.output.exit_code_table import MEANINGS

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
    """The top-level command group."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, with the exit codes at the end of its help."""
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            command.epilog = EXIT_CODES
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the requested command."""
        from producer.cli.invocation import invoke  # the ledger and rich, which no help needs

        return invoke(ctx, super().invoke)


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
