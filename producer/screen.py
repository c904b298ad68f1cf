"""Where output goes: answers to stdout, remarks to stderr; tables for people, one JSON document for programs.

Covers the `--json` switch that every command has and the values that msgspec knows how to write. Colours and
widths are rich's business: it honours NO_COLOR and a terminal that is none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click
import msgspec
from rich.console import Console, RenderableType
from rich.text import Text

# Tables stay whole in a log file or a pipe, where nothing tells the width.
PIPED_WIDTH = 160

Command = TypeVar("Command", bound=Callable[..., Any])


class Screen:
    """The two consoles of one run of the command line, and whether the reader is a program."""

    def __init__(self) -> None:
        self.as_json = False
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
        """Say something that is not the answer. Plain text: a fighter's name must not turn into markup."""
        self.err.print(text, markup=False, highlight=False, soft_wrap=True)


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=max(console.width, PIPED_WIDTH))


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
