"""Options that audit a manual change: the user who makes it, and the reason."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Callable
from typing import Any, TypeVar

import click

NO_REASON = "not given"
USER_HELP = "User who makes the change, for the history; default: user and host."

Command = TypeVar("Command", bound=Callable[..., Any])


def current_user() -> str:
    """Return the current user as `user@host`; a container's user may have a number only."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"


def user_option(command: Command) -> Command:
    """Add `--user` to a command."""
    return click.option("--user", default=current_user, help=USER_HELP, metavar="NAME")(command)


def audit_options(*, required: bool) -> Callable[[Command], Command]:
    """Return a decorator that adds `--user` and `--reason` to a command; `required`: `--reason` must be given."""
    default: dict[str, Any] = {"required": True} if required else {"default": NO_REASON}

    def decorate(command: Command) -> Command:
        reason = click.option("--reason", help="Reason of the change, for the history.", metavar="TEXT", **default)
        return user_option(reason(command))

    return decorate
