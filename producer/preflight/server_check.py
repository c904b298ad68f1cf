"""Preflight check of the server that the pools will use: the other checks use a temporary one."""

from __future__ import annotations

import os
import warnings

from ledger.ledger import Ledger
from ledger.server.server_memory import EvictionWarning
from producer.preflight.check import expect
from producer.settings import URL_VARIABLE, ledger_settings


def check_eviction_policy() -> str:
    """Check that the server of the environment evicts no keys. Raises CheckFailedError, LedgerUnavailableError."""
    if not os.environ.get(URL_VARIABLE):
        return f"{URL_VARIABLE} is not set; the embedded server evicts nothing"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EvictionWarning)  # the check itself reports it
        ledger = Ledger.connect(ledger_settings())
    try:
        room = ledger.server.memory()
    finally:
        ledger.close()
    expect(not room.may_evict, f"the server at {ledger.address} {room}")
    limit = "no limit" if room.limit_bytes is None else f"{room.limit_bytes / 2**20:,.0f} MB at most"
    return f"{ledger.address}: {limit}, maxmemory-policy {room.policy}"
