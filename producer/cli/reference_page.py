"""The reference page of the command line, written from its own help.

    python -m producer.cli.reference_page docs/reference/cli.md

A test compares the page with the output of this module.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from producer.cli.main import main
from producer.output.exit_codes import MEANINGS

WIDTH = 96
HEADER = """# Command line

`cornerman COMMAND --help` prints the same text. With `--json` a command writes one JSON document to
standard output, and remarks to standard error. `python -m cornerman` is the same program.

This page is written by `python -m producer.cli.reference_page docs/reference/cli.md`.

## Exit codes

| code | meaning |
|---|---|
"""


def page() -> str:
    """Return the page as Markdown."""
    codes = [f"| {code.value} | {meaning} |" for code, meaning in MEANINGS.items()]
    context = main.make_context("cornerman", [], resilient_parsing=True, terminal_width=WIDTH, max_content_width=WIDTH)
    return "\n".join([*HEADER.splitlines(), *codes, "", *_sections(main, context)])


def _sections(group: click.Group, parent: click.Context) -> Iterator[str]:
    for name, command in sorted(group.commands.items()):
        context = click.Context(command, info_name=name, parent=parent)
        yield from (f"## {context.command_path}", "", "```text", *_help(command, context), "```", "")
        if isinstance(command, click.Group):
            yield from _sections(command, context)


def _help(command: click.Command, context: click.Context) -> list[str]:
    """Return usage, text and options of a command, without the exit codes that all have in common."""
    formatter = context.make_formatter()
    command.format_usage(context, formatter)
    command.format_help_text(context, formatter)
    command.format_options(context, formatter)
    return formatter.getvalue().rstrip().splitlines()


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
