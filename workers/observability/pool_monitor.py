"""The monitor of a pool: its main process receives events, collects metrics, evaluates alerts and serves all over HTTP.

Six kinds of threads, none of them the supervisor's: one receives events, one collects metrics, one stores log lines
about jobs, one posts alerts if a webhook is set, two make and send spans if tracing is on, and those of the HTTP
server. No job waits for any of this, and no error here ends the pool: an error is logged, once for as long as it lasts.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import structlog

from ledger.contracts.failures import LedgerUnavailableError, PermissionDeniedError
from ledger.contracts.reports import HealthCheck
from ledger.ledger import Ledger
from ledger.operations.alert_overrides import apply_overrides
from ledger.operations.alert_table import ReportedAlert
from workers.alerts.evaluation import AlertEvaluator, AlertTransition
from workers.alerts.rules import RULES
from workers.alerts.webhook import Webhook
from workers.observability.collector import (
    ChildrenSnapshot,
    LedgerObserver,
    LedgerSnapshot,
    gauge_values,
    snapshot_children,
)
from workers.observability.http_server import ObservabilityServer
from workers.observability.metrics import Metrics
from workers.observability.readiness import PoolSnapshot, SupervisorTick, liveness, readiness
from workers.pool.event_pipe import JobLogged, SelfTestResult
from workers.pool.pool import WorkerPool, serves_predictions
from workers.pool.vital_threads import LoopErrors
from workers.tracing.events import AttemptBegan, AttemptFinished

if TYPE_CHECKING:
    from workers.tracing.span_service import SpanService

RETRY_SECONDS = 1.0
GATHER_SECONDS = 0.02
"""How long events gather in the pipe, which has room for some thousands, before the next are read."""
STORE_SECONDS = 0.5
IDLE_INTERVALS = 4
"""Intervals between two collections of an idle pool. A request for the metrics has them collected, and so does a job.
An alert about other processes, such as a pool that is gone, is found as much later."""
REFRESH_SECONDS = 1.0
"""How long a request for the metrics waits for new ones; it gets the last ones if the server does not answer."""
LINES_AT_ONCE = 500  # which take the server a few milliseconds
MAX_WAITING_LINES = 5_000
PORT_OFFSETS = {"predict": 0, "train": 1, "monitor": 2}
"""Added to CORNERMAN_HTTP_PORT, so that one setting fits all pools of a machine."""


class PoolMonitor:
    """The monitor of one pool, which serves `queues`."""

    def __init__(self, pool: WorkerPool, queues: Sequence[str]) -> None:
        self._pool = pool
        self._queues = sorted(queues)
        self._log = structlog.get_logger("cornerman.alerts")
        self._metrics = Metrics(queues)
        self._alerts = AlertEvaluator(apply_overrides(RULES, pool.settings.alerts))
        self._webhook = Webhook(pool.settings.webhook_url, pool.name)
        self._spans = self._span_service()
        self._ledger: Ledger | None = None
        self._log_ledger: Ledger | None = None
        self._observer = LedgerObserver()
        self._event_errors = LoopErrors(self._log, "event not counted")
        self._alert_errors = LoopErrors(self._log, "alerts not evaluated")
        self._job_lines: deque[tuple[str, bytes]] = deque(maxlen=MAX_WAITING_LINES)
        self._has_lines = threading.Event()
        self._works = threading.Event()  # not set: the pool is idle
        self._collected = threading.Event()
        self._collected_seconds = -float("inf")
        self._last_tick: tuple[float, SupervisorTick] | None = None
        self._self_test: tuple[float, SelfTestResult] | None = None
        settings = pool.settings
        port = settings.http_port + PORT_OFFSETS.get(self._queues[0], 0) if settings.http_port else 0
        self._server = ObservabilityServer(
            settings.http_host,
            port,
            self._metrics.registry,
            self._refresh,
            lambda: liveness(self._snapshot(ChildrenSnapshot())),
            lambda: readiness(self._snapshot(snapshot_children(pool))),
        )

    @property
    def address(self) -> str:
        """Host and port of the HTTP server; empty if it is not running."""
        return self._server.address

    def firing_alerts(self) -> list[ReportedAlert]:
        """Return the alerts that fire in this pool, for its heartbeat."""
        return self._alerts.firing_alerts(time.monotonic())

    def note_tick(self, tick: SupervisorTick) -> None:
        """Note that the supervisor has finished a tick."""
        self._last_tick = (time.monotonic(), tick)
        if tick.idle:
            self._works.clear()
        else:
            self._works.set()

    def start(self) -> None:
        """Start the threads; they run until the process ends."""
        loops = [self._receive, self._collect, self._store_job_lines]
        if self._spans is not None:
            loops += [self._spans.make, self._spans.send]
            atexit.register(self._flush_spans, os.getpid())
        for work in loops:
            threading.Thread(target=self._run_for_ever, args=(work,), name=work.__name__, daemon=True).start()
        self._server.start()
        self._webhook.start()

    def _run_for_ever(self, work: Callable[[], None]) -> None:
        errors = LoopErrors(self._log, "monitor loop failed")
        while True:
            done = False
            with errors.caught():
                work()
                done = True
            if not done:
                time.sleep(RETRY_SECONDS)

    def _receive(self) -> None:
        events = self._pool.event_pipe.receive(None)
        for event in events:
            match event:
                case SelfTestResult():
                    self._self_test = (time.monotonic(), event)
                case JobLogged(job_id, line):
                    self._job_lines.append((job_id, line))
                    self._has_lines.set()
                case AttemptBegan() | AttemptFinished():
                    if self._spans is not None:
                        self._spans.put(event)
                case _:
                    with self._event_errors.caught():
                        self._metrics.observe(event)
        if events:  # otherwise each batch of a child wakes this process, which takes time from the next batch
            time.sleep(GATHER_SECONDS)

    def _span_service(self) -> SpanService | None:
        if self._pool.tracing is None:
            return None
        from workers.tracing.span_service import SpanService  # imports OpenTelemetry

        settings = self._pool.settings
        return SpanService(
            self._pool.tracing, self._pool.name, lambda: Ledger.connect(settings.ledger), self._metrics.count_spans
        )

    def _flush_spans(self, pid: int) -> None:
        """Send the last spans before the main process ends, whose threads go on until then."""
        if self._spans is not None and os.getpid() == pid:
            self._spans.flush(lambda: self._pool.event_pipe.is_empty)

    def _store_job_lines(self) -> None:
        """Store the lines that have come; while the ledger does not answer, the newest wait."""
        self._has_lines.wait()
        self._has_lines.clear()
        lines = [self._job_lines.popleft() for _ in range(min(len(self._job_lines), LINES_AT_ONCE))]
        try:
            if lines:
                self._log_ledger = self._log_ledger or Ledger.connect(self._pool.settings.ledger)
                self._log_ledger.job_logs.append(lines)
        except LedgerUnavailableError:  # the supervisor logs this
            self._job_lines.extendleft(reversed(lines))
        finally:
            if self._job_lines:
                self._has_lines.set()
        time.sleep(STORE_SECONDS)

    def _collect(self) -> None:
        children = snapshot_children(self._pool)
        snapshot = self._snapshot(children)
        checks: list[HealthCheck] = readiness(snapshot)
        found = gauge_values(self._pool, self._queues, self._query_ledger(), children, checks, snapshot.silent_seconds)
        self._metrics.publish(found)
        with self._alert_errors.caught():
            for change in self._alerts.evaluate(self._metrics.values(self._alerts.metrics), time.monotonic()):
                self._report(change)
        self._collected_seconds = time.monotonic()
        self._collected.set()
        time.sleep(self._pool.settings.metrics_interval_seconds)
        self._works.wait((IDLE_INTERVALS - 1) * self._pool.settings.metrics_interval_seconds)

    def _refresh(self) -> None:
        """Have the metrics collected if they are older than the interval."""
        if time.monotonic() - self._collected_seconds > self._pool.settings.metrics_interval_seconds:
            self._collected.clear()
            self._works.set()
            self._collected.wait(REFRESH_SECONDS)

    def _report(self, change: AlertTransition) -> None:
        log = self._log.warning if change.firing else self._log.info
        log("alert fires" if change.firing else "alert resolved", **change.fields())
        self._webhook.post(change)

    def _query_ledger(self) -> LedgerSnapshot | None:
        try:
            if self._ledger is None:
                self._ledger = Ledger.connect(self._pool.settings.ledger)
            return self._observer.snapshot(self._ledger)
        except LedgerUnavailableError:
            return None  # the supervisor logs this; here `cornerman_ledger_up` becomes 0
        except PermissionDeniedError as denied:  # for a command that the supervisor does not use
            self._log.error("ledger permission denied", error=str(denied))
            return None

    def _snapshot(self, children: ChildrenSnapshot) -> PoolSnapshot:
        now_seconds = time.monotonic()
        ticked_seconds, tick = self._last_tick or (None, None)
        memory = self._pool.memory
        tested, self_test = self._self_test or (None, None)
        tick_age_seconds = None if ticked_seconds is None else now_seconds - ticked_seconds
        silent = None if tick is None else tick.silent_seconds
        return PoolSnapshot(
            tick_age_seconds=tick_age_seconds,
            server_reached=tick is not None and tick.server_reached,
            silent_seconds=None if silent is None or tick_age_seconds is None else silent + tick_age_seconds,
            liveness_probe_seconds=self._pool.settings.liveness_probe_seconds,
            predicts=serves_predictions(self._pool, self._queues),
            self_test_age_seconds=None if tested is None else now_seconds - tested,
            self_test=self_test,
            children=children.idle + children.busy,
            largest_child_mb=children.largest_bytes / 2**20,
            memory_limit_mb=self._pool.settings.child_max_memory_mb,
            pool_mb=memory.used_mb,
            pool_limit_mb=memory.limit_mb or float("inf"),  # before the supervisor's first tick
            closing=self._pool.scoreboard.closing,
        )
