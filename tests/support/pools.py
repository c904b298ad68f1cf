"""Pools of workers as processes: how tests start them, and what they see of them."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.support.fork_server import ForkedProcess, ForkServer
from workers.jobs.registry import HANDLERS

ROOT = Path(__file__).parents[2]
STOP_SECONDS = 30
START_SECONDS = 120  # importing the engine takes its time on a busy machine

CELERY_MODULES = (
    "workers.app",
    "billiard.popen_fork",
    "billiard.sharedctypes",
    "celery.app.amqp",
    "celery.app.log",
    "celery.app.trace",
    "celery.apps.worker",
    "celery.concurrency.asynpool",
    "celery.concurrency.prefork",
    "celery.events.receiver",
    "celery.fixups.django",
    "celery.worker.consumer",
    "celery.worker.control",
    "celery.worker.loops",
    "celery.worker.strategy",
    "encodings.idna",
    "tests.support.short_pauses",
)
"""What the main process of a pool imports, at its start too."""

ENGINE_MODULES = (
    *CELERY_MODULES,
    *sorted({handler.partition(":")[0] for handler in HANDLERS.values() if isinstance(handler, str)}),
    "workers.models.model_store",
)
"""What the children of a pool with the real handlers import besides."""


@dataclass
class PoolProcess:
    """A pool of workers as its supervisor sees it."""

    process: subprocess.Popen[bytes] | ForkedProcess
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.pid).children()

    def stop(self, signum: int = signal.SIGTERM) -> int:
        self.process.send_signal(signum)
        return self.process.wait(STOP_SECONDS)


StartPool = Callable[..., PoolProcess]


def start_program(
    program: Sequence[str], environment: Mapping[str, str], log: Path, server: ForkServer | None
) -> PoolProcess:
    """Start a program in a session of its own, as a shell does: forked by a server, or as a new interpreter."""
    if server is not None:
        return PoolProcess(server.start(program, environment=environment, log=log), log)
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, *program], env=environment, stdout=stream, stderr=stream, start_new_session=True
        )
    return PoolProcess(process, log)
