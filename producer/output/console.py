"""Console output: results to stdout, notes to stderr; tables for people, one JSON document for programs.

Includes the `--json` option of every command. JSON output may hold any value that msgspec can encode. rich chooses
colours and widths, and honours NO_COLOR and output that is not a terminal.

Text from a caller (a fighter's name, a card's id) is shown literally: never parsed as rich markup or emoji codes, and
with control characters replaced, because a terminal would execute them. Characters that the terminal's encoding lacks
become question marks.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click
import msgspec
from rich.console import Console as RichConsole
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

# Minimum width if the output is not a terminal, so that tables stay whole in log files and pipes.
PIPED_WIDTH = 160

# Control characters except the line feed, and characters that change the text direction.
_CONTROL = [*range(0x0A), *range(0x0B, 0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_SHOWN = dict.fromkeys(_CONTROL, "\N{REPLACEMENT CHARACTER}")

Command = TypeVar("Command", bound=Callable[..., Any])


class Console:
    """Output of one run of the command line: rich consoles for stdout and stderr, and the JSON switch."""

    def __init__(self) -> None:
        self.as_json = False
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")
        self.out = _console(stderr=False)
        self.err = _console(stderr=True)

    def output(self, document: Any, *renderables: RenderableType) -> None:
        """Print the command's result to stdout: `document` as one line of JSON, or the renderables."""
        if self.as_json:
            click.echo(msgspec.json.encode(document))
            return
        for renderable in renderables:
            self.out.print(renderable, soft_wrap=isinstance(renderable, str | Text))

    def note(self, text: str) -> None:
        """Print a note to stderr."""
        self.err.print(text, highlight=False, soft_wrap=True)


class _PlainConsole(RichConsole):
    """A rich console that parses no markup and lets no text control the terminal."""

    def __init__(self, *, stderr: bool, width: int | None = None) -> None:
        super().__init__(stderr=stderr, width=width, markup=False, emoji=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render as rich does, and replace each control character by a visible one."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=segment.text.translate(_SHOWN))


def _console(*, stderr: bool) -> RichConsole:
    console = _PlainConsole(stderr=stderr)
    return console if console.is_terminal else _PlainConsole(stderr=stderr, width=max(console.width, PIPED_WIDTH))


def json_option(command: Command) -> Command:
    """Add `--json` to a command."""
    return click.option(
        "--json",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        help="Print one JSON document on stdout; notes go to stderr.",
        callback=_switch,
    )(command)


def _switch(context: click.Context, _option: click.Parameter, as_json: bool) -> None:
    context.ensure_object(Console).as_json |= as_json


pass_console = click.make_pass_decorator(Console, ensure=True)
