"""Logs as JSON lines, on the standard error (readable lines if that is a terminal) and, if wanted, in a rotating file.

Every attempt at a job ends with one canonical line that holds all there is to say of it. Payloads, prices and secrets
are never logged. Celery's own lines pass through the same formatter.
"""

from __future__ import annotations

import fcntl
import itertools
import logging
import logging.handlers
import os
import resource
import sys
import traceback
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import billiard.util
import structlog

from ledger.contracts.controls import COMPONENTS, Controls
from ledger.contracts.job_state import State
from ledger.ledger import Claim, Held
from workers.logs.terminal_lines import TerminalFormatter
from workers.settings import WorkerSettings

RENDERED = "rendered"
"""Attribute of a record whose message is JSON lines already."""

# What the canonical line says better: that doorbells come and go, that children come, and that a doorbell was lost.
_QUIETED = {
    "celery.worker.strategy": logging.WARNING,
    "celery.app.trace": logging.WARNING,
    "multiprocessing": logging.WARNING,
    "celery.worker.request": logging.CRITICAL,
}

# The loggers of what an operator knows as one part of a pool; `worker` has no part, so that it is all the rest of ours.
_LOGGERS = {
    component: [component] if component in ("celery", "engine") else [f"cornerman.{component}"]
    for component in COMPONENTS
} | {"worker": ["cornerman"], "celery": ["celery", "kombu"]}

_CLAIM: ContextVar[Claim | None] = ContextVar("claim", default=None)


def configure(settings: WorkerSettings) -> None:
    """Send the logs of this process, and of the children that it will fork, where the settings say."""
    shared: list[Any] = [
        _add_job,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        _add_pid,
        structlog.stdlib.ExtraAdder(allow=()),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    formatter = _Formatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, structlog.processors.JSONRenderer()],
    )
    handlers: list[logging.Handler] = [_StandardError(sys.stderr)]
    if settings.log_file is not None:
        handlers.append(SharedRotatingFile(settings.log_file, settings.log_file_mb * 2**20, settings.log_files))
    for handler in handlers:
        handler.setFormatter(formatter)
    if sys.stderr.isatty():
        handlers[0].setFormatter(TerminalFormatter(formatter))
    logging.basicConfig(handlers=handlers, level=settings.log_level, force=True)
    logging.captureWarnings(True)
    billiard.util.get_logger().propagate = True  # which says how a child died, past every formatter
    for name, level in _QUIETED.items():
        logging.getLogger(name).setLevel(level)


class Levels:
    """The log levels of one process, as the operator's controls have them: `log_level.<component>`."""

    def __init__(self, level: str) -> None:
        self._level = level  # of what nobody has set
        self._followed = Controls()

    def follow(self, controls: Controls) -> None:
        """Let each part of the pool log as much as the controls say from now on."""
        if controls == self._followed:
            return
        self._followed = controls
        for component, names in _LOGGERS.items():
            for name in names:
                logging.getLogger(name).setLevel(controls.word(f"log_level.{component}") or self._level)


@contextmanager
def speaking_of(claim: Claim) -> Iterator[None]:
    """Let every line that this thread logs meanwhile, in whichever part, say which job it is about."""
    before = _CLAIM.set(claim)
    try:
        yield
    finally:
        _CLAIM.reset(before)


def where_raised(error: BaseException) -> dict[str, str]:
    """Return an error's type and the places that it came through, without its message, which may quote a payload."""
    return {"error": type(error).__name__, "traceback": "".join(traceback.format_tb(error.__traceback__))}


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """Renders every record, but those that were rendered before."""

    def format(self, record: logging.LogRecord) -> str:
        rendered: str | None = getattr(record, RENDERED, None)
        return super().format(record) if rendered is None else rendered


def canonical_line(
    claim: Claim | Held,
    outcome: str,
    *,
    queue_wait: timedelta | None,
    run_seconds: float | None,
    model: str | None,
    reason: str | None = None,
) -> dict[str, Any]:
    """Return what is logged of an attempt at a job.

    `outcome` is `succeeded`, a failure's code, or what became of the claim: `released` (queued again, the attempt does
    not count), `parked` (the same, until it is due or woken), `requeued` (it counts), `refused` (someone else's outcome
    stands). `reason` says why a claim was given back. What is not known is absent.
    """
    line = {
        "job_id": claim.job_id,
        "kind": claim.kind,
        "attempt": claim.attempt,
        "outcome": outcome,
        "reason": reason,
        "model": model,
        "correlation_id": claim.correlation_id,
        "queue_wait_seconds": None if queue_wait is None else round(queue_wait.total_seconds(), 4),
        "run_seconds": None if run_seconds is None else round(run_seconds, 4),
    }
    return {name: value for name, value in line.items() if value is not None}


def outcome_of_loss(state: State | None) -> str:
    """Return how an attempt ended whose child was lost, from what the ledger made of it."""
    if state is None:
        return "refused"
    return "requeued" if state is State.QUEUED else "worker_lost"


def peak_memory_mb() -> float:
    """Return the most memory, in MiB, that this process has had in RAM since it began."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)


def _add_job(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if (claim := _CLAIM.get()) is not None:
        event.setdefault("job_id", claim.job_id)
        if claim.correlation_id is not None:
            event.setdefault("correlation_id", claim.correlation_id)
    return event


def _add_pid(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event["pid"] = os.getpid()
    return event


class _Quiet(logging.Handler):
    """A handler that raises nothing: what keeps it from writing is said once, until it writes again, by the others."""

    _known: ClassVar[set[tuple[str, str]]] = set()  # of all: a process configures its logs more than once

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._unsaid: list[tuple[str, str]] = []

    def handle(self, record: logging.LogRecord) -> bool:
        """Write a line. What went wrong is said when no lock is held any more, which another handler may wait for."""
        handled = super().handle(record)
        while self._unsaid:
            what, error = self._unsaid.pop()
            structlog.get_logger("cornerman").error(what, handler=self.target, error=error)
        return bool(handled)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, or note why not."""
        with self.noting("log not written"):
            super().emit(record)

    def close(self) -> None:
        """Close, also where what is still to be written finds no room."""
        with suppress(OSError):
            super().close()

    def handleError(self, record: logging.LogRecord) -> None:
        """Let `emit` note what the standard library has caught, which would print it."""
        raise

    @contextmanager
    def noting(self, what: str) -> Iterator[None]:
        """Note an error in the block, to be said if it is new, and go on."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - no line of a log is worth the thread that writes it
            if (what, self.target) not in self._known:
                self._known.add((what, self.target))
                self._unsaid.append((what, f"{type(error).__name__}: {error}"))
        else:
            self._known.discard((what, self.target))

    @property
    def target(self) -> str:
        """What it writes to."""
        return str(getattr(self, "baseFilename", "standard error"))


class _StandardError(_Quiet, logging.StreamHandler):  # type: ignore[type-arg]  # the class takes none
    """The standard error."""


class SharedRotatingFile(_Quiet, logging.handlers.WatchedFileHandler):
    """A rotating file that several processes write: each line goes out whole, and one process rotates for all.

    The standard library's rotating handler would have every child rotate by itself and lose the lines of the others. A
    file that cannot be rotated grows on, one that cannot be opened is tried again with the next line.
    """

    def __init__(self, path: Path, limit_bytes: int, kept: int) -> None:
        super().__init__(path, encoding="utf-8", delay=True)
        self._limit_bytes = limit_bytes
        self._kept = kept

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, after making room if the file is full."""
        with self.noting("log not rotated"):
            self._make_room()
        super().emit(record)  # follows the name to the new file

    def _open(self) -> Any:
        Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
        return super()._open()

    def _make_room(self) -> None:
        if not self._full():
            return
        with open(f"{self.baseFilename}.lock", "w") as lock, suppress(BlockingIOError):  # another process rotates
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if self._full():  # nobody else was first
                self._rotate()

    def _full(self) -> bool:
        try:
            return os.stat(self.baseFilename).st_size >= self._limit_bytes
        except OSError:  # there is none yet, or opening it will say what is wrong
            return False

    def _rotate(self) -> None:
        names = [Path(self.baseFilename), *(Path(f"{self.baseFilename}.{n}") for n in range(1, self._kept + 1))]
        if not self._kept:
            names[0].unlink()
        for younger, older in reversed(list(itertools.pairwise(names))):
            if younger.exists():
                younger.replace(older)
