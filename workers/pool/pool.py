"""The state that the processes of one pool share from before they are forked."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from ledger.contracts.controls import Controls
from workers.jobs.registry import HandlerRegistry
from workers.pool.event_pipe import EventPipe
from workers.pool.process_memory import PoolMemory
from workers.pool.scoreboard import Scoreboard
from workers.pool.scratch import PoolScratch
from workers.pool.wakeup import Wakeup
from workers.settings import WorkerSettings
from workers.tracing.job_tracing import JobTracing

CHILD_START_SECONDS = 120.0
"""Time for children to become ready: they import the engine first, which is slow on a busy machine."""


@dataclass
class WorkerPool:
    """The settings, handlers and shared objects of one pool.

    Attributes
    ----------
    scoreboard, event_pipe
        Shared by all processes of the pool.
    controls
        In the main process: the controls that the supervisor read last, kept while the server does not answer. A child
        uses those of its claim instead.
    memory
        In the main process: the memory figures that the supervisor computed last.
    scratch
        The temporary files of the pool and its children.
    preloaded
        True once the handlers of a pool that imports them before the fork are loaded, and the libraries are limited.
    preloaded_models
        Models by digest, opened before the fork.
    supervisor_wakeup, memory_wakeup, closing_wakeup
        End the waits of the supervisor, of the memory monitor, and of the thread that ends the pool.
    maintain
        In the main process: has Celery's event loop replace, add and retire children now. Any thread may call it.
    tracing
        Decides of which jobs spans are sent; None if tracing is off.
    incarnation
        Distinguishes the claims of this start: process ids repeat in containers, and after a restart.
    """

    settings: WorkerSettings
    handlers: HandlerRegistry
    scoreboard: Scoreboard = field(default_factory=Scoreboard)
    controls: Controls = field(default_factory=Controls)
    memory: PoolMemory = field(default_factory=PoolMemory)
    scratch: PoolScratch = field(default_factory=PoolScratch)
    event_pipe: EventPipe = field(default_factory=EventPipe)
    preloaded: bool = False
    preloaded_models: dict[str, Any] = field(default_factory=dict)
    supervisor_wakeup: Wakeup = field(default_factory=Wakeup)
    memory_wakeup: Wakeup = field(default_factory=Wakeup)
    closing_wakeup: Wakeup = field(default_factory=Wakeup)
    maintain: Callable[[], None] = lambda: None
    tracing: JobTracing | None = None
    incarnation: str = field(default_factory=lambda: secrets.token_hex(4))

    @property
    def name(self) -> str:
        """The pool's name, unique in the fleet and in time."""
        return f"{self.settings.node_name}#{self.incarnation}"

    @property
    def liveness_queue(self) -> str:
        """The queue of the pool's own liveness probes, which no other pool consumes."""
        return f"canary-{self.name}"

    def note_work(self) -> None:
        """Have the threads that look after jobs begin to look. A child with claims calls it before the first begins."""
        self.supervisor_wakeup.wake()
        self.memory_wakeup.wake()

    def start_closing(self) -> None:
        """Signal to all processes of the pool that it stops; a signal handler may call this."""
        self.scoreboard.start_closing()
        self.supervisor_wakeup.wake()
        self.closing_wakeup.wake()

    def owner(self, pid: int) -> str:
        """Return the name under which a child of this pool claims."""
        return f"{self.name}/{pid}"


PREDICT_KIND = "predict_card"


def serves_predictions(pool: WorkerPool, queues: Iterable[str]) -> bool:
    """Return True if a pool answers cards; a pool of another kind has no model to test."""
    return "predict" in set(queues) and PREDICT_KIND in pool.handlers


def imports_before_fork(pool: WorkerPool, queues: Iterable[str]) -> bool:
    """Return True if a pool imports its handlers before it forks, False if its child does with the first job of a kind.

    Several children share what is imported before the fork. With a single child the pool would only keep libraries that
    it may never need; a pool that predicts keeps them, because a card must not wait.
    """
    return pool.settings.concurrency != 1 or serves_predictions(pool, queues)
