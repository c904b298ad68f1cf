"""Threads that a process of a pool depends on, and errors of a thread that are said once and not at every turn.

A pool that lives without its guard would hold jobs for ever. So a thread that it depends on takes its process along,
with a reason and an exit code by which it is started again.
"""

from __future__ import annotations

import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psutil
import structlog

WEDGED = 75  # as in sysexits.h: EX_TEMPFAIL


def start_vital(name: str, work: Callable[[], None]) -> None:
    """Start a thread without which the process must not go on: when its work ends, however it does, the process ends.

    Its children are killed first, because nobody would look after them.
    """
    threading.Thread(target=_run, args=(name, work), name=name, daemon=True).start()


def _run(name: str, work: Callable[[], None]) -> None:
    error: BaseException | None = None
    try:
        work()
    except BaseException as raised:  # noqa: BLE001 - whatever it is, the process ends for it
        error = raised
    with suppress(Exception):
        why = "it returned" if error is None else "".join(traceback.format_exception(error))
        structlog.get_logger("cornerman").critical(
            "a thread that the process depends on has ended", thread=name, why=why
        )
    with suppress(psutil.Error):
        for child in psutil.Process().children():
            with suppress(psutil.Error):
                child.kill()
    os._exit(WEDGED)


class Stumbles:
    """Errors of work that is done again and again: said when they begin or change, and raised when they do not end."""

    def __init__(self, log: Any, event: str, patience_seconds: float = float("inf")) -> None:
        self._log = log
        self._event = event
        self._patience_seconds = patience_seconds
        self._since_seconds: float | None = None
        self._said = ""

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Go on after an error in the block; raise it if there has been nothing else for longer than the patience."""
        try:
            yield
        except Exception as error:
            now_seconds = time.monotonic()
            since_seconds = self._since_seconds = now_seconds if self._since_seconds is None else self._since_seconds
            if now_seconds - since_seconds > self._patience_seconds:
                raise
            if self._said != (said := f"{type(error).__name__}: {error}"):
                self._said = said
                self._log.exception(self._event)
        else:
            self._since_seconds, self._said = None, ""
