"""Critical threads of a pool's processes, and errors of loops that are logged once and not at every iteration.

A pool without its supervisor would hold jobs for ever. So the end of a critical thread ends its process, with the
reason in the log and an exit code that asks for a restart.
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

NEEDS_RESTART = 75  # as in sysexits.h: EX_TEMPFAIL


def start_critical_thread(name: str, work: Callable[[], None]) -> None:
    """Start a critical thread: when its work ends, for whatever reason, the process exits.

    The children are killed first, because no supervisor would be left for them.
    """
    threading.Thread(target=_run, args=(name, work), name=name, daemon=True).start()


def _run(name: str, work: Callable[[], None]) -> None:
    error: BaseException | None = None
    try:
        work()
    except BaseException as raised:  # noqa: BLE001 - any error ends the process
        error = raised
    with suppress(Exception):
        why = "it returned" if error is None else "".join(traceback.format_exception(error))
        structlog.get_logger("cornerman").critical("critical thread ended", thread=name, why=why)
    with suppress(psutil.Error):
        for child in psutil.Process().children():
            with suppress(psutil.Error):
                child.kill()
    os._exit(NEEDS_RESTART)


class LoopErrors:
    """Errors of a loop: logged when they begin or change, and raised when they last too long."""

    def __init__(self, log: Any, event: str, patience_seconds: float = float("inf")) -> None:
        self._log = log
        self._event = event
        self._patience_seconds = patience_seconds
        self._since_seconds: float | None = None
        self._last_error = ""

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Suppress an error in the block, but raise it if every iteration has failed for longer than the timeout."""
        try:
            yield
        except Exception as error:
            now_seconds = time.monotonic()
            since_seconds = self._since_seconds = now_seconds if self._since_seconds is None else self._since_seconds
            if now_seconds - since_seconds > self._patience_seconds:
                raise
            if self._last_error != (error_text := f"{type(error).__name__}: {error}"):
                self._last_error = error_text
                self._log.exception(self._event)
        else:
            self._since_seconds, self._last_error = None, ""
