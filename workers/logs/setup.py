"""Logs as JSON lines, on the standard error (readable lines on a terminal) and, if set, in a rotating file.

Every attempt at a job ends with one canonical line with all that is known about it. Payloads, prices and secrets are
never logged. Celery's own lines pass through the same formatter.
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
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import ContextVar
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import billiard.util
import structlog

from ledger.contracts.controls import COMPONENTS, Controls
from ledger.contracts.job_state import JobState
from ledger.ledger import Claim, RunningJob
from workers.logs.job_log import JobLogHandler, Send
from workers.logs.terminal_lines import TerminalFormatter
from workers.settings import WorkerSettings

RENDERED = "rendered"
"""Attribute of a record whose message is already rendered as JSON lines."""

# Replaced by lines of ours: doorbells received and done, children started, doorbells lost; spans not sent.
_MIN_LEVELS = {
    "celery.worker.strategy": logging.WARNING,
    "celery.app.trace": logging.WARNING,
    "multiprocessing": logging.WARNING,
    # Its exporter repeats each failure; ours is logged once while it lasts.
    "opentelemetry": logging.CRITICAL,
    "celery.worker.request": logging.CRITICAL,
}

# The loggers behind each component that an operator can set; `worker` is the rest of our loggers.
_LOGGERS = {
    component: [component] if component in ("celery", "engine") else [f"cornerman.{component}"]
    for component in COMPONENTS
} | {"worker": ["cornerman"], "celery": ["celery", "kombu"]}

_CLAIM: ContextVar[Claim | None] = ContextVar("claim", default=None)
_running_claim: Claim | None = None
"""The claim that this process runs; a child runs one at a time."""
_send_job_line: Send | None = None


def configure_logging(settings: WorkerSettings) -> None:
    """Configure the logs of this process, and of the children that it will fork, from the settings."""
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
    if _send_job_line is not None:
        handlers.append(JobLogHandler(_job_of, _send_job_line))
    if settings.log_file is not None:
        handlers.append(SharedRotatingFile(settings.log_file, settings.log_file_mb * 2**20, settings.log_files))
    for handler in handlers:
        handler.setFormatter(formatter)
    if sys.stderr.isatty():
        handlers[0].setFormatter(TerminalFormatter(formatter))
    logging.basicConfig(handlers=handlers, level=settings.log_level, force=True)
    logging.captureWarnings(True)
    billiard.util.get_logger().propagate = True  # billiard's logger reports how a child died
    for name, level in _MIN_LEVELS.items():
        logging.getLogger(name).setLevel(level)


def pass_on_job_lines(send: Send) -> None:
    """Let the next `configure_logging` pass the lines about jobs to `send`, besides writing them."""
    global _send_job_line
    _send_job_line = send


def _job_of(record: logging.LogRecord) -> str | None:
    """Return the id of the job that a record is about: the one it names, or runs in its thread.

    A warning from another thread of a child counts as one about the child's job. Finished attempts are in the job's
    history.
    """
    if hasattr(record, RENDERED):
        return None
    named = record.msg.get("job_id") if isinstance(record.msg, dict) else None
    if named is not None:
        return str(named)
    claim = _CLAIM.get() or (_running_claim if record.levelno >= logging.WARNING else None)
    return None if claim is None else claim.job_id


class LogLevels:
    """The log levels of one process, from the operator's controls `log_level.<component>`."""

    def __init__(self, level: str) -> None:
        self._level = level  # without a control
        self._followed: Controls | None = None  # a child inherits the levels that its parent had when it was forked

    def apply(self, controls: Controls) -> None:
        """Apply the controls' levels to the components of the pool."""
        if controls == self._followed:
            return
        self._followed = controls
        for component, names in _LOGGERS.items():
            for name in names:
                logging.getLogger(name).setLevel(controls.choice(f"log_level.{component}") or self._level)


class _JobLogContext:
    """A block that runs a claim; entering a generator takes twice as long."""

    __slots__ = ("_before", "_claim")

    def __init__(self, claim: Claim) -> None:
        self._claim = claim

    def __enter__(self) -> None:
        global _running_claim
        self._before, _running_claim = _CLAIM.set(self._claim), self._claim

    def __exit__(self, *error: object) -> None:
        global _running_claim
        _CLAIM.reset(self._before)
        _running_claim = None


def job_log_context(claim: Claim) -> AbstractContextManager[None]:
    """Add the job's id, correlation id, caller and trace to every line that this thread logs in the block."""
    return _JobLogContext(claim)


def traceback_locations(error: BaseException) -> dict[str, str]:
    """Return an error's type and its traceback locations, without its message, which may quote a payload."""
    return {"error": type(error).__name__, "traceback": "".join(traceback.format_tb(error.__traceback__))}


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """Renders every record, except those that are already rendered."""

    def format(self, record: logging.LogRecord) -> str:
        rendered: str | None = getattr(record, RENDERED, None)
        return super().format(record) if rendered is None else rendered


def canonical_line(
    claim: Claim | RunningJob,
    outcome: str,
    *,
    queue_wait: timedelta | None,
    run_seconds: float | None,
    model: str | None,
    reason: str | None = None,
) -> dict[str, Any]:
    """Return the log fields of an attempt at a job.

    `outcome` is `succeeded`, a failure's code, or what became of the claim: `released` (queued again, the attempt does
    not count), `parked` (the same, at a later time or when resumed), `requeued` (the attempt counts), `refused`
    (another outcome of the job stands). `reason` is the reason for a release. Unknown values are absent.
    """
    line = {
        "job_id": claim.job_id,
        "kind": claim.kind,
        "attempt": claim.attempt,
        "outcome": outcome,
        "reason": reason,
        "model": model,
        "correlation_id": claim.correlation_id,
        "caller": claim.caller,
        **_trace_fields(claim),
        "queue_wait_seconds": None if queue_wait is None else round(queue_wait.total_seconds(), 4),
        "run_seconds": None if run_seconds is None else round(run_seconds, 4),
    }
    return {name: value for name, value in line.items() if value is not None}


def loss_outcome(state: JobState | None) -> str:
    """Return the logged outcome of an attempt whose child was lost, from the state that the ledger returned."""
    if state is None:
        return "refused"
    return "requeued" if state is JobState.QUEUED else "worker_lost"


def peak_memory_mb() -> float:
    """Return the peak resident memory of this process, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)


def _add_job(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if (claim := _CLAIM.get()) is not None:
        event.setdefault("job_id", claim.job_id)
        if claim.correlation_id is not None:
            event.setdefault("correlation_id", claim.correlation_id)
        if claim.caller is not None:
            event.setdefault("caller", claim.caller)
        for name, value in _trace_fields(claim).items():
            event.setdefault(name, value)
    return event


def _trace_fields(claim: Claim | RunningJob) -> dict[str, str]:
    """Return the trace of a job, and the span of its attempt if spans are sent."""
    if isinstance(claim, Claim) and claim.span is not None:
        return {"trace_id": claim.span.trace_id, "span_id": claim.span.span_id}
    return {} if claim.trace is None else {"trace_id": claim.trace.trace_id}


def _add_pid(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event["pid"] = os.getpid()
    return event


class _QuietHandler(logging.Handler):
    """A handler that raises nothing: its errors are logged by the other handlers, once until it writes again."""

    _reported: ClassVar[set[tuple[str, str]]] = set()  # shared: a process configures its logs more than once

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._unreported: list[tuple[str, str]] = []

    def handle(self, record: logging.LogRecord) -> bool:
        """Write a line, and log an error only after all locks are released, which another handler may wait for."""
        handled = super().handle(record)
        while self._unreported:
            what, error = self._unreported.pop()
            structlog.get_logger("cornerman").error(what, handler=self.target, error=error)
        return bool(handled)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, or record the error."""
        with self.reporting("log not written"):
            super().emit(record)

    def close(self) -> None:
        """Close, even if the remaining lines cannot be written."""
        with suppress(OSError):
            super().close()

    def handleError(self, record: logging.LogRecord) -> None:
        """Raise the error, which the standard library would print, for `emit` to record."""
        raise

    @contextmanager
    def reporting(self, what: str) -> Iterator[None]:
        """Suppress an error in the block, and queue it to be logged if it is new."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - an error of logging must not end the thread
            if (what, self.target) not in self._reported:
                self._reported.add((what, self.target))
                self._unreported.append((what, f"{type(error).__name__}: {error}"))
        else:
            self._reported.discard((what, self.target))

    @property
    def target(self) -> str:
        """The file or stream that it writes to."""
        return str(getattr(self, "baseFilename", "standard error"))


class _StandardError(_QuietHandler, logging.StreamHandler):  # type: ignore[type-arg]  # the class takes none
    """The standard error."""


class SharedRotatingFile(_QuietHandler, logging.handlers.WatchedFileHandler):
    """A rotating file that several processes write: each line is written whole, and one process rotates for all.

    With the standard library's rotating handler every child would rotate by itself and lose the lines of the others. A
    file that cannot be rotated grows, and one that cannot be opened is retried with the next line.
    """

    def __init__(self, path: Path, limit_bytes: int, max_rotated: int) -> None:
        super().__init__(path, encoding="utf-8", delay=True)
        self._limit_bytes = limit_bytes
        self._max_rotated = max_rotated

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, after rotating a full file."""
        with self.reporting("log not rotated"):
            self._make_room()
        super().emit(record)  # reopens the file after a rotation

    def _open(self) -> Any:
        Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
        return super()._open()

    def _make_room(self) -> None:
        if not self._full():
            return
        with open(f"{self.baseFilename}.lock", "w") as lock, suppress(BlockingIOError):  # another process rotates
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if self._full():  # no other process has rotated it meanwhile
                self._rotate()

    def _full(self) -> bool:
        try:
            return os.stat(self.baseFilename).st_size >= self._limit_bytes
        except OSError:  # there is no file yet, or opening it will raise
            return False

    def _rotate(self) -> None:
        names = [Path(self.baseFilename), *(Path(f"{self.baseFilename}.{n}") for n in range(1, self._max_rotated + 1))]
        if not self._max_rotated:
            names[0].unlink()
        for younger, older in reversed(list(itertools.pairwise(names))):
            if younger.exists():
                younger.replace(older)
