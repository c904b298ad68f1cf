"""Where output goes: answers to stdout, remarks to stderr; tables for people, one JSON document for programs.

Covers the `--json` switch that every command has and the values that msgspec knows how to write. Colours and
widths are rich's business: it honours NO_COLOR and a terminal that is none.

Text from a caller (a fighter's name, the id of a card) is shown as it is: never as rich's markup or as the code of an
emoji, and without control characters, which a terminal would obey. Letters that the terminal's encoding does not have
become question marks.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click
import msgspec
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

# Tables stay whole in a log file or a pipe, where nothing tells the width.
PIPED_WIDTH = 160

# Control characters but for the end of a line, and those that turn the direction of writing round.
_CONTROL = [*range(0x0A), *range(0x0B, 0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_SHOWN = dict.fromkeys(_CONTROL, "\N{REPLACEMENT CHARACTER}")

Command = TypeVar("Command", bound=Callable[..., Any])


class Screen:
    """The two consoles of one run of the command line, and whether the reader is a program."""

    def __init__(self) -> None:
        self.as_json = False
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")
        self.out = _console(stderr=False)
        self.err = _console(stderr=True)

    def answer(self, document: Any, *renderables: RenderableType) -> None:
        """Give the command's answer: the document as one line of JSON, or the renderables."""
        if self.as_json:
            click.echo(msgspec.json.encode(document))
            return
        for renderable in renderables:
            self.out.print(renderable, soft_wrap=isinstance(renderable, str | Text))

    def remark(self, text: str) -> None:
        """Say something that is not the answer."""
        self.err.print(text, highlight=False, soft_wrap=True)


class _Console(Console):
    """A console on which no text is markup, and none controls the terminal."""

    def __init__(self, *, stderr: bool, width: int | None = None) -> None:
        super().__init__(stderr=stderr, width=width, markup=False, emoji=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render as rich does, with a visible character in place of each control character."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=segment.text.translate(_SHOWN))


def _console(*, stderr: bool) -> Console:
    console = _Console(stderr=stderr)
    return console if console.is_terminal else _Console(stderr=stderr, width=max(console.width, PIPED_WIDTH))


def json_option(command: Command) -> Command:
    """Give a command `--json`."""
    return click.option(
        "--json",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        help="One JSON document on stdout; remarks go to stderr.",
        callback=_switch,
    )(command)


def _switch(context: click.Context, _option: click.Parameter, as_json: bool) -> None:
    context.ensure_object(Screen).as_json |= as_json


pass_screen = click.make_pass_decorator(Screen, ensure=True)
