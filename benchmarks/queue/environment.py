"""Environment of a queue benchmark: one server with the workers of each competitor."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.queue import competitors
from benchmarks.queue.competitors import NOOP_POOL, WorkerProcesses
from ledger.ledger import Ledger, LedgerSettings
from ledger.server.embedded_server import EmbeddedServer

Fsync = Literal["always", "everysec"]


@dataclass(frozen=True)
class QueueEnvironment:
    """A running server: its address, a ledger on it, the workers of each competitor, and Celery's tasks by name."""

    url: str
    ledger: Ledger
    celery: WorkerProcesses
    tasks: Any
    ours: WorkerProcesses
    server: Any

    def cpu_seconds(self) -> float:
        """Return the processor time used by the server, in seconds."""
        used = self.server.info("cpu")
        return float(used["used_cpu_user"] + used["used_cpu_sys"])

    def server_mb(self) -> float:
        """Return the memory used by the server for its data, in MiB."""
        return float(self.server.info("memory")["used_memory"] / 2**20)


@contextmanager
def queue_environment(
    *, children: int = 2, appendfsync: Fsync = "everysec", program: tuple[str, ...] = NOOP_POOL
) -> Iterator[QueueEnvironment]:
    """Start a server, plain Celery and our pool, both with the given number of children."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(EmbeddedServer(folder / "server", appendfsync=appendfsync)).url
        settings = LedgerSettings(redis_url=url)
        celery, tasks = stack.enter_context(competitors.plain_celery(url, folder, children=children))
        yield QueueEnvironment(
            url=url,
            ledger=stack.enter_context(closing(Ledger.connect(settings))),
            celery=celery,
            tasks=tasks,
            ours=stack.enter_context(competitors.our_pool(settings, folder, children=children, program=program)),
            server=stack.enter_context(closing(competitors.connection(url))),
        )
