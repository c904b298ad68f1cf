"""Where a pool is observed: its main process listens to its children, samples, judges alerts and serves what it knows.

Four kinds of threads, none of them the guard's: one listens to the pipe, one samples, one posts alerts where that is
wanted, and those of the HTTP server. Nothing here is waited for by a job, and nothing that fails here ends the pool: it
is said, once for as long as it goes on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import structlog

from ledger.contracts.failures import LedgerUnavailable, PermissionDenied
from ledger.contracts.reports import HealthCheck
from ledger.ledger import Ledger
from workers.alerts.evaluation import Change, Judge
from workers.alerts.overrides import tuned
from workers.alerts.rules import RULES
from workers.alerts.webhook import Webhook
from workers.observability.collector import ChildrenSample, LedgerSample, gauges, sample_children, sample_ledger
from workers.observability.http_server import Endpoints
from workers.observability.metrics import Metrics
from workers.observability.readiness import Sight, liveness, readiness
from workers.pool.event_pipe import Look, SelfTest
from workers.pool.pool import Pool, predicts
from workers.pool.vital_threads import Stumbles

LISTEN_SECONDS = 1.0
PORTS = {"predict": 0, "train": 1, "monitor": 2}  # after CORNERMAN_HTTP_PORT, so that one setting serves a machine


class Observatory:
    """Observes one pool, which works off `queues`."""

    def __init__(self, pool: Pool, queues: Sequence[str]) -> None:
        self._pool = pool
        self._queues = sorted(queues)
        self._log = structlog.get_logger("cornerman.alerts")
        self._metrics = Metrics(queues)
        self._judge = Judge(tuned(RULES, pool.settings.alerts))
        self._webhook = Webhook(pool.settings.webhook_url, pool.name)
        self._ledger: Ledger | None = None
        self._uncounted = Stumbles(self._log, "what a process has told cannot be counted")
        self._unjudged = Stumbles(self._log, "alerts cannot be judged")
        self._look: tuple[float, Look] | None = None
        self._self_test: tuple[float, SelfTest] | None = None
        settings = pool.settings
        port = settings.http_port + PORTS.get(self._queues[0], 0) if settings.http_port else 0
        self._endpoints = Endpoints(
            settings.http_host,
            port,
            self._metrics.registry,
            lambda: liveness(self._sight(ChildrenSample())),
            lambda: readiness(self._sight(sample_children(pool))),
        )

    @property
    def address(self) -> str:
        """Host and port of the endpoints; empty where they are not served."""
        return self._endpoints.address

    def start(self) -> None:
        """Go on for as long as the process lives."""
        for work in (self._listen, self._sample):
            threading.Thread(target=self._forever, args=(work,), name=work.__name__, daemon=True).start()
        self._endpoints.start()
        self._webhook.start()

    def _forever(self, work: Callable[[], None]) -> None:
        stumbles = Stumbles(self._log, "the observatory stumbled")
        while True:
            done = False
            with stumbles.caught():
                work()
                done = True
            if not done:
                time.sleep(LISTEN_SECONDS)

    def _listen(self) -> None:
        for event in self._pool.telemetry.listen(LISTEN_SECONDS):
            match event:
                case Look():
                    self._look = (time.monotonic(), event)
                case SelfTest():
                    self._self_test = (time.monotonic(), event)
                case _:
                    with self._uncounted.caught():
                        self._metrics.observe(event)

    def _sample(self) -> None:
        children = sample_children(self._pool)
        sight = self._sight(children)
        checks: list[HealthCheck] = readiness(sight)
        found = gauges(self._pool, self._queues, self._ask_ledger(), children, checks, sight.silent_seconds)
        self._metrics.publish(found)
        with self._unjudged.caught():
            for change in self._judge.judge(self._metrics.values(), time.monotonic()):
                self._tell(change)
        time.sleep(self._pool.settings.sample_seconds)

    def _tell(self, change: Change) -> None:
        say = self._log.warning if change.firing else self._log.info
        say("alert fires" if change.firing else "alert resolved", **change.said())
        self._webhook.post(change)

    def _ask_ledger(self) -> LedgerSample | None:
        try:
            if self._ledger is None:
                self._ledger = Ledger.connect(self._pool.settings.ledger)
            return sample_ledger(self._ledger)
        except LedgerUnavailable:
            return None  # the guard says so; here it is `cornerman_ledger_up` 0
        except PermissionDenied as denied:  # of what the guard does not ask for
            self._log.error("ledger denies", error=str(denied))
            return None

    def _sight(self, children: ChildrenSample) -> Sight:
        now_seconds = time.monotonic()
        looked, look = self._look or (None, None)
        memory = self._pool.memory
        tested, self_test = self._self_test or (None, None)
        since_look = None if looked is None else now_seconds - looked
        silent = None if look is None else look.silent_seconds
        return Sight(
            looked_seconds=since_look,
            reached=look is not None and look.reached,
            silent_seconds=None if silent is None or since_look is None else silent + since_look,
            canary_seconds=self._pool.settings.canary_seconds,
            predicts=predicts(self._pool, self._queues),
            tested_seconds=None if tested is None else now_seconds - tested,
            self_test=self_test,
            children=children.idle + children.busy,
            largest_child_mb=children.largest_bytes / 2**20,
            memory_limit_mb=self._pool.settings.memory_limit_mb,
            pool_mb=memory.used_mb,
            pool_limit_mb=memory.limit_mb or float("inf"),  # the guard has not looked yet
            closing=self._pool.board.closing,
        )
