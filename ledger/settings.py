"""Settings of a ledger: connection and time limits; every value can be set by an environment variable.

All processes of one ledger should use the same values; nothing breaks if they differ for the duration of a roll-out.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any

PREFIX = "CORNERMAN_"
DAY_SECONDS = 86_400.0


def _setting(default: Any, meaning: str, *, secret: bool = False) -> Any:
    return field(default=default, repr=not secret, metadata={"help": meaning})


@dataclass(frozen=True, kw_only=True)
class LedgerSettings:
    """Settings of a ledger. Each field's meaning is in its metadata; `environment_variable(field)` is its variable."""

    redis_url: str | None = _setting(
        None, "server: redis://, rediss:// (TLS) or unix://, with user and password if it asks for them", secret=True
    )
    namespace: str = _setting("cornerman", "prefix of every key, so that several ledgers can share a server")
    lease_seconds: float = _setting(10.0, "how long a claim holds without a sign of life from its worker")
    max_attempts: int = _setting(3, "how often a job may take its worker down before it ends as worker_lost")
    retention_seconds: float = _setting(7 * DAY_SECONDS, "how long an outcome can be read")
    tombstone_seconds: float = _setting(30 * DAY_SECONDS, "how long after that the answer is `forgotten`")
    journal_seconds: float = _setting(
        3 * 365 * DAY_SECONDS, "how long after its event the journal keeps what models said of a fight"
    )
    ring_seconds: float = _setting(1.0, "how often the doorbell rings again for jobs that nobody claims")
    max_queue_length: int = _setting(100_000, "most jobs that may wait in a queue; beyond it new ones are refused")
    max_memory_fraction: float = _setting(
        0.8, "share of the server's maxmemory (where it has one) beyond which new jobs are refused"
    )
    doorbell_cap: int = _setting(256, "most doorbells in a queue; at least the number of children in the fleet")
    outcomes_cap: int = _setting(100_000, "about how many outcomes a follower can look back on")
    quarantine_cap: int = _setting(1_000, "most odd queue items that are kept for a look")
    reread_seconds: float = _setting(5.0, "how often a waiter reads again in case the hint that woke it was lost")
    reply_timeout_seconds: float = _setting(
        5.0, "how long a reply of the server may take; a call ends after twice as long"
    )
    fsync_timeout_seconds: float = _setting(5.0, "how long a durable submit waits for the append-only file")

    def __post_init__(self) -> None:
        """Refuse values that could only fail later. Raises ValueError naming the variable."""
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", self.namespace):
            raise ValueError(f"{PREFIX}NAMESPACE must be 1 to 64 letters, digits, `_`, `.` or `-`")
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, int | float) and not 0 < value < float("inf"):
                raise ValueError(f"{environment_variable(entry)} must be greater than 0, not {value}")

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> LedgerSettings:
        """Read the settings; an empty variable counts as unset. Raises ValueError naming the variable."""
        source = os.environ if environ is None else environ
        given: dict[str, Any] = {}
        for entry in fields(cls):
            text = source.get(environment_variable(entry), "").strip()
            if text:
                given[entry.name] = _convert(entry, text)
        return cls(**given)


def environment_variable(entry: Field[Any]) -> str:
    """Return the environment variable of a field."""
    return PREFIX + entry.name.upper()


def _convert(entry: Field[Any], text: str) -> Any:
    kind = type(entry.default)
    if kind not in (int, float):
        return text
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"{environment_variable(entry)} must be a number, not {text!r}") from None
