"""The composition root of a pool: builds the Celery app from settings and handlers.

Celery forks children, replaces those that died, routes, and does the warm shutdown. The state of jobs, their limits and
their retries belong to the ledger and the supervisor, so Celery's own options for these are off.

`celery -A workers.app worker -Q predict --without-gossip --without-mingle` finds `app` here. It is created on first
use, because nothing happens at import.
"""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import structlog
from celery import Celery, bootsteps, signals
from kombu import Queue

from ledger.jobs.claims import QUEUES
from ledger.server.topology.addresses import read_address
from workers.broker.kombu_transport import DOORBELL_TASK, Connection, quarantine_with
from workers.broker.maintenance import Maintenance
from workers.child.consumer import ChildConsumer
from workers.jobs.registry import HANDLERS, HandlerRegistry, warm_up
from workers.logs import setup
from workers.observability.pool_monitor import PoolMonitor
from workers.pool.event_pipe import JobLogged
from workers.pool.library_threads import pin_environment, pin_libraries
from workers.pool.pool import CHILD_START_SECONDS, WorkerPool, imports_before_fork
from workers.pool.process_memory import anon_rss_mb
from workers.scheduling.scheduler import QUEUE, Scheduler
from workers.settings import WorkerSettings
from workers.supervisor.memory_budget import MemoryBudget
from workers.supervisor.memory_monitor import MemoryMonitor
from workers.supervisor.preload import freeze_before_fork, preload
from workers.supervisor.shutdown import enforce_shutdown
from workers.supervisor.supervisor import Supervisor
from workers.tracing.job_tracing import JobTracing

CANNOT_START = 70  # as in sysexits.h: EX_SOFTWARE


def create_app(settings: WorkerSettings, handlers: HandlerRegistry) -> Celery:
    """Return the app of one pool; a process has one."""
    pin_environment()
    pool = WorkerPool(settings, handlers, tracing=JobTracing.from_environment())
    app = Celery("cornerman", set_as_current=False)
    app.conf.update(configuration(settings))
    # A doorbell for which no child has memory is left to other pools. The liveness probe is always consumed.
    app.conf.broker_transport_options["may_consume"] = lambda queue: (
        queue == pool.liveness_queue or pool.scoreboard.can_start_job
    )
    app.cornerman_pool = pool
    app.amqp.Connection = Connection
    doorbell = ChildConsumer(pool, lambda: app.amqp.queues.consume_from)

    # Without a result: the ledger stores the outcomes, and no caller waits for a doorbell.
    @app.task(name=DOORBELL_TASK, ignore_result=True)  # type: ignore[untyped-decorator]  # celery ships no types
    def answer_doorbell(queue: str) -> None:
        doorbell.handle(queue)

    setup.pass_on_job_lines(lambda job_id, line: pool.event_pipe.send(JobLogged(job_id, line)))
    app.steps["worker"].add(_supervisor_step(pool))
    signals.setup_logging.connect(lambda **_: setup.configure_logging(settings), weak=False)
    signals.worker_before_create_process.connect(lambda sender, **_: freeze_before_fork(sender._pool), weak=False)
    signals.worker_process_init.connect(lambda **_: _start_child(app, pool), weak=False)
    signals.worker_shutting_down.connect(lambda **_: pool.start_closing(), weak=False)
    return app


def configuration(settings: WorkerSettings) -> dict[str, Any]:
    """Return every Celery option that differs from its default, with the reason."""
    return {
        # Doorbells instead of messages; see the transport. The URL is only for Celery's log, without the password.
        "broker_transport": "workers.broker.kombu_transport:Transport",
        "broker_url": _shown_url(settings.ledger.redis_url),
        "broker_transport_options": {
            "ledger_settings": settings.ledger,
            "quarantine": quarantine_with(settings.ledger),
        },
        # A pool that starts before its server waits for it.
        "broker_connection_retry_on_startup": True,
        # Without end: the supervisor goes on meanwhile, and a restart would not bring the server back sooner.
        "broker_connection_max_retries": None,
        # Only the ledger's queues; any other name is an error, not a new queue.
        "task_queues": [Queue(name, routing_key=name) for name in QUEUES],
        "task_default_queue": QUEUES[0],
        "task_create_missing_queues": False,
        # A doorbell that exceeds the free children is left to other pools.
        "worker_disable_prefetch": True,
        "worker_prefetch_multiplier": 1,
        # With nothing prefetched there is nothing to reduce after a reconnect.
        "worker_enable_prefetch_count_reduction": False,
        # A job outlives a broken connection, and there are no late acknowledgements: this only stops a warning.
        "worker_cancel_long_running_tasks_on_connection_loss": True,
        # Otherwise any client that can write to the server could shut the pool down.
        "worker_enable_remote_control": False,
        # Children import the engine before they report that they are up.
        "worker_proc_alive_timeout": CHILD_START_SECONDS,
        # Logs are configured in `workers.logs.setup`.
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        # A doorbell contains the name of a queue and nothing else.
        "accept_content": ["json"],
        "worker_concurrency": settings.concurrency or None,
        # The supervisor decides the pool's size; see `workers.supervisor.scaling_policy`.
        "worker_autoscaler": "workers.broker.autoscaler:Autoscaler",
    }


def _supervisor_step(pool: WorkerPool) -> type[bootsteps.StartStopStep]:
    class SupervisorStep(bootsteps.StartStopStep):  # type: ignore[misc]  # celery ships no types
        """Starts the supervisor with the worker, and leaves it running until the process ends."""

        requires = ("celery.worker.components:Pool",)

        def create(self, worker: Any) -> None:
            """Preload what the children share: the queues are known, and no child is forked yet."""
            pool.scratch.open()
            queues = list(worker.app.amqp.queues.consume_from)
            preload(pool, queues)
            if worker.autoscale:
                children = MemoryBudget(pool, queues, MemoryMonitor(pool)).initial_children()
                _set_initial_children(worker, children)

        def start(self, worker: Any) -> None:
            queues = worker.app.amqp.queues
            self._queues = list(queues.consume_from)
            pool.scoreboard.set_target_size(worker.pool.num_processes, 0)
            self._maintenance = Maintenance(worker, pool, self._queues)
            observatory = PoolMonitor(pool, self._queues)
            observatory.start()
            Supervisor(pool, self._queues, observatory).start()
            if QUEUE in self._queues:
                Scheduler(pool).start()
            enforce_shutdown(pool)
            structlog.get_logger("cornerman").info(
                "pool started",
                pool=pool.name,
                queues=self._queues,
                concurrency=pool.settings.concurrency or worker.pool.num_processes,
                max_memory_mb=pool.settings.pool_max_memory_mb,
                memory_limit_mb=pool.settings.child_max_memory_mb,
                library_threads=1,
                training_threads=pool.settings.training_threads,
            )
            queues.select_add(Queue(pool.liveness_queue, routing_key=pool.liveness_queue))

        def stop(self, worker: Any) -> None:
            """Leave the supervisor running, which children that finish their jobs need; set the exit code."""
            if pool.scoreboard.start_failed:
                worker.exitcode = CANNOT_START

        def register_with_event_loop(self, worker: Any, hub: Any) -> None:
            """Maintain the children from the main thread, where Celery does."""
            self._maintenance.register(hub)

    return SupervisorStep


def _set_initial_children(worker: Any, children: int) -> None:
    """Have Celery fork this many children when it starts its pool.

    One after the other, while the main process does nothing else: what it writes later, the children then share.
    """
    for _ in range(children - worker.pool.limit):
        worker.semaphore.grow()  # as if the pool had grown, or Celery would use one child
        worker.pool.limit += 1


def _start_child(app: Celery, pool: WorkerPool) -> None:
    """Prepare a child that was just forked. If it cannot start, its pool ends: the next child would fail too."""
    try:
        if limit_mb := pool.settings.child_max_memory_mb:
            # Exceeding it raises a MemoryError, which becomes an outcome; to be killed by the kernel would be a crash.
            resource.setrlimit(resource.RLIMIT_DATA, (limit_mb * 2**20, limit_mb * 2**20))
        with suppress(OSError):  # there is no /proc, or it is read only
            # If the kernel runs out of memory, it should kill a child, whose job is retried, and not the pool.
            file = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
            os.write(file, b"500")
            os.close(file)
        pool.scoreboard.register_child()
        pool.scratch.open_child()
        if not pool.preloaded:
            queues = app.amqp.queues.consume_from
            if imports_before_fork(pool, queues):
                warm_up(queues, pool.handlers)
            pin_libraries()
        pool.scoreboard.mark_ready(anon_rss_mb())
    except Exception as error:
        structlog.get_logger("cornerman").exception("the child cannot start")
        pool.scoreboard.report_start_failure()
        raise SystemExit(1) from error


def _shown_url(redis_url: str | None) -> str:
    parts = urlsplit(read_address(redis_url).url if redis_url else "")
    return f"redis://{parts.hostname or 'localhost'}:{parts.port or 6379}"


@cache
def _default_app() -> Celery:
    return create_app(WorkerSettings.from_env().with_running_server(), HANDLERS)


def __getattr__(name: str) -> Celery:
    if name == "app":
        return _default_app()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
