"""Settings of a pool of workers; every value can be set by an environment variable."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from ledger.operations.alert_overrides import apply_overrides
from ledger.server.embedded_server import find_running
from ledger.settings import LedgerSettings, environment_variable
from workers.alerts.rules import RULES

MIN_KEY_CHARACTERS = 16
MAX_PORT = 65_533  # the next two are used too: one for each pool of a machine


def _setting(default: Any, meaning: str, *, zero: bool = False, secret: bool = False) -> Any:
    return field(default=default, repr=not secret, metadata={"help": meaning, "zero": zero})


@dataclass(frozen=True, kw_only=True)
class WorkerSettings:
    """Settings of one pool.

    Each field's metadata describes it; `ledger.settings.variable(field)` is the environment variable that sets it.
    """

    ledger: LedgerSettings = field(default_factory=LedgerSettings)
    data: Path = _setting(Path(".cornerman"), "folder of the data on this machine")  # noqa: RUF009 - it is a field
    models: Path | None = _setting(None, "folder of the model bundles; default: `models` in the data folder")  # noqa: RUF009 - it is a field
    store: str = _setting(
        "",
        "shared store of models and training parts for pools of several machines, as an fsspec URL; default: `models`",
    )
    signing_key: str = _setting("", "key that models are signed with; if set, unsigned models are refused", secret=True)
    node: str = _setting("", "name of this machine in claims and logs, unique in the fleet; default: the host name")
    concurrency: int = _setting(0, "maximum children of a pool; 0: one a core for prediction, else one", zero=True)
    min_children: int = _setting(0, "minimum children of a pool, memory permitting; 0: the maximum", zero=True)
    pool_max_memory_mb: int = _setting(
        0, "memory limit of a pool with its children; 0: the memory of its machine", zero=True
    )
    spare_memory_mb: int = _setting(256, "memory of the machine or container that a pool leaves free", zero=True)
    child_max_memory_mb: int = _setting(
        4096, "memory limit of a child, 0: none; a job that needs more fails", zero=True
    )
    memory_check_interval_seconds: float = _setting(0.05, "interval at which the memory of children at work is checked")
    threads: int = _setting(0, "threads of a training child; 0: the cores divided by the children", zero=True)
    model_cache_size: int = _setting(2, "maximum open models of a child")
    max_jobs_per_claim: int = _setting(
        64, "maximum jobs that a predicting child claims at once; a training child claims one"
    )
    queue_slice_seconds: float = _setting(1.0, "how long a child serves one queue before another")
    shutdown_grace_seconds: float = _setting(
        5.0, "how long after SIGTERM a job may run before it is released", zero=True
    )
    supervisor_interval_seconds: float = _setting(
        0.25, "interval at which the supervisor checks children, leases and limits"
    )
    supervisor_idle_interval_seconds: float = _setting(
        2.0,
        "the same while the pool has no job; at most the interval of the heartbeat, half that of the liveness probe, "
        "and a fifth of a lease",
    )
    heartbeat_seconds: float = _setting(3.0, "interval of a pool's heartbeat")
    liveness_probe_seconds: float = _setting(
        10.0, "interval of the liveness probe, which verifies that a pool consumes"
    )
    liveness_timeout_seconds: float = _setting(
        30.0, "silence of the liveness probe after which a pool exits to be restarted"
    )
    http_host: str = _setting("127.0.0.1", "address on which metrics and health are served; `off`: not served")
    http_port: int = _setting(
        0,
        "its port in predicting pools; training pools use the next, monitoring pools the one after; 0: any free port",
        zero=True,
    )
    metrics_interval_seconds: float = _setting(
        5.0, "interval at which a pool collects metrics and evaluates alerts; four times that while it has no job"
    )
    self_test_seconds: float = _setting(
        60.0, "interval at which a predicting child checks its model's reference predictions"
    )
    self_test_model: str = _setting("champion", "alias or digest of the model for that check")
    celery_events: int = _setting(0, "1: pools send Celery's events, which Flower shows; 0: they do not", zero=True)
    alerts: str = _setting(
        "", "overrides of alerts: `NAME=THRESHOLD`, `NAME=THRESHOLD/SECONDS` or `NAME=off`, separated by commas"
    )
    webhook_url: str = _setting("", "URL to which alerts are posted as JSON", secret=True)
    log_level: str = _setting("INFO", "lowest level that is logged: DEBUG, INFO, WARNING, ERROR")
    log_file: Path | None = _setting(None, "log file, in addition to the standard error")  # noqa: RUF009 - it is a field
    log_file_mb: int = _setting(50, "size at which the log file is rotated")
    log_files: int = _setting(5, "number of rotated log files")

    def __post_init__(self) -> None:
        """Refuse values that could only fail later. Raises ValueError naming the variable."""
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, int | float) and not (value > 0 or (entry.metadata["zero"] and value == 0)):
                raise ValueError(f"{environment_variable(entry)} must be greater than 0, not {value}")
        if self.liveness_timeout_seconds <= self.liveness_probe_seconds:
            raise ValueError("CORNERMAN_LIVENESS_TIMEOUT_SECONDS must be greater than CORNERMAN_LIVENESS_PROBE_SECONDS")
        if self.ledger.lease_seconds < 2 * self.supervisor_interval_seconds:
            raise ValueError("CORNERMAN_LEASE_SECONDS must be at least twice CORNERMAN_SUPERVISOR_INTERVAL_SECONDS")
        if self.log_level not in logging.getLevelNamesMapping():
            raise ValueError(f"CORNERMAN_LOG_LEVEL must be DEBUG, INFO, WARNING or ERROR, not {self.log_level!r}")
        if self.http_port > MAX_PORT:
            raise ValueError(f"CORNERMAN_HTTP_PORT must be at most {MAX_PORT}, not {self.http_port}")
        if self.webhook_url and urlsplit(self.webhook_url).scheme not in ("http", "https"):
            raise ValueError("CORNERMAN_WEBHOOK_URL must begin with http:// or https://")
        apply_overrides(RULES, self.alerts)
        if 0 < len(self.signing_key) < MIN_KEY_CHARACTERS:
            raise ValueError(f"CORNERMAN_SIGNING_KEY must have at least {MIN_KEY_CHARACTERS} characters")
        if any(character in " #/" for character in self.node):
            raise ValueError(f"CORNERMAN_NODE must be without space, `#` and `/`, not {self.node!r}")

    @property
    def models_folder(self) -> Path:
        """Folder of the bundles, each in a folder named by its digest."""
        return self.models or self.data / "models"

    @property
    def node_name(self) -> str:
        """Name of this machine."""
        return self.node or socket.gethostname()

    @property
    def training_threads(self) -> int:
        """Threads of a training child: all cores if it is the only child."""
        return self.threads or max(1, len(os.sched_getaffinity(0)) // max(1, self.concurrency))

    def with_running_server(self) -> Self:
        """Return the settings with the server that runs for the data folder, if no server is set."""
        if self.ledger.redis_url is not None:
            return self
        return replace(self, ledger=replace(self.ledger, redis_url=find_running(self.data)))

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read the settings; an empty variable counts as absent. Raises ValueError naming the variable."""
        source = os.environ if environ is None else environ
        given: dict[str, Any] = {"ledger": LedgerSettings.from_env(source)}
        for entry in fields(cls):
            text = source.get(environment_variable(entry), "").strip()
            if text and entry.name != "ledger":
                given[entry.name] = _convert(entry, text)
        return cls(**given)


def _convert(entry: Field[Any], text: str) -> Any:
    if "Path" in str(entry.type):
        return Path(text)
    if not isinstance(entry.default, int | float):
        return text
    try:
        return type(entry.default)(text)
    except ValueError:
        raise ValueError(f"{environment_variable(entry)} must be a number, not {text!r}") from None
