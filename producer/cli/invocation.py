"""Running a command: its errors become messages and exit codes."""

from __future__ import annotations

import errno
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import click

from ledger.contracts.codec import job_refused
from ledger.contracts.failures import JobFailedError, JobRefusedError
from ledger.server.server_memory import EvictionWarning
from producer.errors import LOCAL_JOB_ID
from producer.output.console import Console
from producer.output.exit_codes import EXPECTED_ERRORS, ExitCode, error_document, exit_code_for, hint_for

_DISK_IS_FULL = (errno.ENOSPC, errno.EDQUOT)


def invoke(ctx: click.Context, command: Callable[[click.Context], Any]) -> Any:
    """Run a command; turn expected errors into a message and an exit code."""
    console = ctx.ensure_object(Console)
    as_json = "--json" in ctx.args  # a usage error ends the parsing before the option's callback runs
    try:
        with _eviction_notes(console), _utf8_required():
            return command(ctx)
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
    except OSError as error:
        if error.errno not in _DISK_IS_FULL:
            raise
        console.note(f"cornerman: {error.strerror}: {error.filename or 'the output is not complete'}")
        _discard_output()
        ctx.exit(ExitCode.FAILED)
    except KeyboardInterrupt:
        console.note("cornerman: stopped")
        ctx.exit(ExitCode.INTERRUPTED)


def _discard_output() -> None:
    """Discard what is left in the buffer, which the interpreter would fail to write once more at its end."""
    with suppress(OSError):  # it is no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def _utf8_required() -> Iterator[None]:
    """Refuse an argument with other bytes than UTF-8, which Python keeps as surrogates until it is sent or written."""
    try:
        yield
    except UnicodeEncodeError as error:
        if error.reason != "surrogates not allowed":
            raise
        raise job_refused(f"{error.object[-80:]!a} has bytes that are not UTF-8: give it in UTF-8") from error


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
