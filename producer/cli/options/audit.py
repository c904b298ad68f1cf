"""Who changes something by hand, and why: the options with which a command is audited."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Callable
from typing import Any, TypeVar

import click

NOT_SAID = "not said"

Command = TypeVar("Command", bound=Callable[..., Any])


def user() -> str:
    """Return who types this, as `user@host`; a container may have no name for its user."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"


def audited(command: Command) -> Command:
    """Give a command `--who` and `--why`."""
    why = click.option("--why", default=NOT_SAID, help="The reason, for the history.", metavar="TEXT")
    return _who(why(command))


def accounted_for(command: Command) -> Command:
    """Give a command `--who`, and `--why` that must be said."""
    why = click.option("--why", required=True, help="The reason, for the history.", metavar="TEXT")
    return _who(why(command))


def _who(command: Command) -> Command:
    return click.option("--who", default=user, help="Who does it; default: the user and host.", metavar="NAME")(command)
