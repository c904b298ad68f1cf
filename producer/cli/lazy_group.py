"""A click group that imports a command only when it is called.

Importing all commands takes longer than most of them run, and the help prints the summaries of a table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, NamedTuple

import click


class LazyCommand(NamedTuple):
    """Where a command is defined, and the summary line of its help.

    Attributes
    ----------
    module
        Module, relative to the package of the commands.
    summary
        Summary line.
    attribute
        Name in the module; by default that of the command, with underscores.
    """

    module: str
    summary: str
    attribute: str = ""


class LazyCommands(Mapping[str, click.Command]):
    """Commands by name, each imported when it is read."""

    def __init__(self, package: str, table: Mapping[str, LazyCommand]) -> None:
        self._package, self._table = package, table

    def __getitem__(self, name: str) -> click.Command:
        found = self._table[name]
        module = import_module(f"{self._package}.{found.module}")
        command: click.Command = getattr(module, found.attribute or name.replace("-", "_"))
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)


class LazyGroup(click.Group):
    """A group of commands that are imported on first use.

    Parameters
    ----------
    package
        Package of the commands.
    table
        The commands by name.
    """

    def __init__(self, *args: Any, package: str, table: Mapping[str, LazyCommand], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.commands = LazyCommands(package, table)  # type: ignore[assignment]  # no command is added later
        self._table = table

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the names and summary lines."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._table[name].summary) for name in self.list_commands(ctx)])
