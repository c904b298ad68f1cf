"""Settings of a ledger: connection and time limits; every value can be set by an environment variable.

All processes of one ledger should use the same values; nothing breaks if they differ for the duration of a roll-out.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any

from ledger.contracts.caller_names import CALLER_RULE, is_caller

PREFIX = "CORNERMAN_"
DAY_SECONDS = 86_400.0
DEFAULT_DATA = ".cornerman"


def _setting(default: Any, meaning: str, *, secret: bool = False) -> Any:
    return field(default=default, repr=not secret, metadata={"help": meaning})


@dataclass(frozen=True, kw_only=True)
class LedgerSettings:
    """Settings of a ledger. Each field's meaning is in its metadata; `environment_variable(field)` is its variable."""

    redis_url: str | None = _setting(
        None,
        "server: redis://, rediss:// (TLS), unix://, redis+sentinel:// or redis+cluster://, with user and password if "
        "it requires them",
        secret=True,
    )
    namespace: str = _setting("cornerman", "prefix of every key, so that several ledgers can share a server")
    caller: str | None = _setting(None, "name of the caller on the jobs that this process submits")
    lease_seconds: float = _setting(10.0, "how long a claim holds without a renewal by its worker")
    max_attempts: int = _setting(3, "number of worker crashes before a job fails as worker_lost")
    retention_seconds: float = _setting(7 * DAY_SECONDS, "how long an outcome can be read")
    tombstone_seconds: float = _setting(
        30 * DAY_SECONDS, "how long after the retention the state of a job is `forgotten`"
    )
    prediction_log_retention_seconds: float = _setting(
        3 * 365 * DAY_SECONDS, "how long after its event the prediction log keeps a prediction"
    )
    notify_retry_seconds: float = _setting(
        1.0, "interval at which the doorbell is rung again for jobs that no worker claims"
    )
    max_queue_length: int = _setting(100_000, "maximum of waiting jobs in a queue; new jobs beyond it are refused")
    max_memory_fraction: float = _setting(
        0.8, "share of the server's maxmemory, if it has one, beyond which new jobs are refused"
    )
    max_doorbells: int = _setting(256, "maximum of doorbells in a queue; at least the number of children in the fleet")
    max_outcomes: int = _setting(100_000, "approximate number of outcomes that a follower can read back")
    max_changes: int = _setting(
        10_000, "about how many changes the audit trails of controls, of drift alarms and of tokens keep, each"
    )
    max_quarantined: int = _setting(1_000, "maximum of quarantined items of a queue")
    poll_fallback_seconds: float = _setting(
        5.0, "interval at which a waiter reads again, in case a notification was lost"
    )
    reply_timeout_seconds: float = _setting(
        5.0, "time limit of a reply of the server; a call ends after twice this time"
    )
    archive_url: str = _setting(
        "",
        "where outcomes are archived, an fsspec URL or a folder; default: `outcomes` in CORNERMAN_STORE, "
        "or in the folder of the models",
        secret=True,
    )
    fsync_timeout_seconds: float = _setting(
        5.0, "how long a durable submit waits for the append-only file, or for replicas"
    )
    appendfsync: str = _setting(
        "everysec",
        "the policy of the server, `everysec` or `always`: with `everysec` a confirmation by the disk takes 1.5 s, "
        "because the reply of `WAITAOF` is too early",
    )
    durable_replicas: int = _setting(1, "number of replicas that must have what is to be durable on replicas")
    replica_storage: str = _setting(
        "disk",
        "`disk`: replicas and the server itself must have it in their append-only files; `memory`: the replicas must "
        "have it in memory, for servers without `WAITAOF` or without an append-only file",
    )
    outcome_durability: str | None = _setting(
        None,
        "what an outcome waits for before it is visible, in the whole ledger: `none`, `disk` or `replica`; pools "
        "store it when they start; without it they leave it as it is",
    )
    webhook_allowed_hosts: str = _setting(
        "", "hosts, separated by commas, to which webhooks may post without TLS and at private addresses"
    )

    def __post_init__(self) -> None:
        """Refuse values that could only fail later. Raises ValueError naming the variable."""
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", self.namespace):
            raise ValueError(f"{PREFIX}NAMESPACE must be 1 to 64 letters, digits, `_`, `.` or `-`")
        if self.caller is not None and not is_caller(self.caller):
            raise ValueError(f"{PREFIX}CALLER must be {CALLER_RULE}")
        if self.appendfsync not in ("everysec", "always"):
            raise ValueError(f"{PREFIX}APPENDFSYNC must be everysec or always, not {self.appendfsync!r}")
        if self.replica_storage not in ("disk", "memory"):
            raise ValueError(f"{PREFIX}REPLICA_STORAGE must be disk or memory, not {self.replica_storage!r}")
        if self.outcome_durability not in (None, "none", "disk", "replica"):
            raise ValueError(
                f"{PREFIX}OUTCOME_DURABILITY must be none, disk or replica, not {self.outcome_durability!r}"
            )
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
                given[entry.name] = read_setting(entry, text)
        given.setdefault("archive_url", _archive_in_store(source))
        return cls(**given)

    @property
    def archive_place(self) -> str:
        """URL or folder below which outcomes are archived."""
        return self.archive_url or archive_in(f"{DEFAULT_DATA}/models")


def _archive_in_store(source: Mapping[str, str]) -> str:
    """Return where outcomes are archived if no setting says so: next to the models; '' if no folder is named."""
    store, models, data = (source.get(f"{PREFIX}{name}", "").strip() for name in ["STORE", "MODELS", "DATA"])
    place = store or models or (f"{data}/models" if data else "")
    return archive_in(place) if place else ""


def archive_in(store: str) -> str:
    """Return where outcomes are archived in a store."""
    return f"{store.rstrip('/')}/outcomes"


def environment_variable(entry: Field[Any]) -> str:
    """Return the environment variable of a field."""
    return PREFIX + entry.name.upper()


def read_setting(entry: Field[Any], text: str) -> Any:
    """Convert the text of a variable to the type of its field. Raises ValueError naming the variable."""
    kind = type(entry.default)
    if kind not in (int, float):
        return text
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"{environment_variable(entry)} must be a number, not {text!r}") from None


def settings_table(kind: Any) -> list[str]:
    """Return a Markdown table of the settings of a class, written from their metadata."""
    rows = [
        f"| `{environment_variable(entry)}` | {_shown_default(entry)} | {entry.metadata['help']} |"
        for entry in fields(kind)
        if "help" in entry.metadata
    ]
    return ["| variable | default | meaning |", "|---|---|---|", *rows]


def _shown_default(entry: Field[Any]) -> str:
    return "" if entry.default in (None, "") else f"`{entry.default}`"
