"""Patience with a ledger that is away."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import structlog

from ledger.contracts.failures import LedgerUnavailable

_LONGEST_PAUSE_SECONDS = 1.0

Answer = TypeVar("Answer")


def insist(tell: Callable[[], Answer]) -> Answer:
    """Tell the ledger something until it answers: told twice is told once.

    The guard ends a child that waits though its own pool reaches the server.
    """
    pause_seconds = 0.05
    while True:
        try:
            return tell()
        except LedgerUnavailable as unavailable:
            structlog.get_logger("cornerman").warning("ledger unavailable", error=str(unavailable))
            time.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)
