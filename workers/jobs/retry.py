"""Retries of ledger calls while the server is unavailable."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import structlog

from ledger.contracts.failures import LedgerUnavailableError

_MAX_PAUSE_SECONDS = 1.0

Result = TypeVar("Result")


def retry_until_available(call: Callable[[], Result]) -> Result:
    """Repeat an idempotent ledger call until the server answers, and return its result.

    The supervisor ends a child that waits although its own pool reaches the server.
    """
    pause_seconds = 0.05
    while True:
        try:
            return call()
        except LedgerUnavailableError as unavailable:
            structlog.get_logger("cornerman").warning("ledger unavailable", error=str(unavailable))
            time.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, _MAX_PAUSE_SECONDS)
