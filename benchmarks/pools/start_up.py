"""Start-up cost of a caller: processor time of imports, of the first question and of the command line.

    python -m benchmarks.pools.start_up [--json]

Naive is importing a Celery app to call its tasks, as Celery's documentation shows it, without a question.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.queue.competitors import ROOT
from benchmarks.results import Row, run_command
from ledger.server.embedded_server import EmbeddedServer

COMMAND = "python -m benchmarks.pools.start_up"
# redis-py imports OpenTelemetry wherever it is installed, as it is here for tests, and not at a caller.
CALLER = "import sys; sys.modules['opentelemetry'] = None; "
NAIVE = ("-c", f"{CALLER}import benchmarks.queue.naive_celery")
CLIENT = ("-c", f"{CALLER}import producer.client")
ASKING = ("-c", f"{CALLER}from producer.client import Client; Client.from_env().status('nothing')")
HELP = ("-m", "producer.cli.main", "--help")


def measure(*, repeats: int = 11) -> list[Row]:
    """Measure each in a process of its own, alternately; all figures include the start of the interpreter."""
    ways = (NAIVE, CLIENT, ASKING, HELP)
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer(Path(folder) / "server") as server:
        environment = {**os.environ, "CORNERMAN_REDIS_URL": server.url}
        turns = [[_cpu_ms(way, environment) for way in ways] for _ in range(repeats + 1)][1:]  # the first fills caches
    naive, client, asking, help_ = (tuple(figures) for figures in zip(*turns, strict=True))
    return [
        Row("import of producer.client", "ms CPU", naive, client, None, False, f"wanted: below 150 ms; {COMMAND}"),
        Row("import of producer.client, connection and first question", "ms CPU", naive, asking, None, False, COMMAND),
        Row("cornerman --help", "ms CPU", naive, help_, None, False, COMMAND),
    ]


def _cpu_ms(way: tuple[str, ...], environment: dict[str, str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *way], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000


if __name__ == "__main__":
    run_command(measure, __doc__ or "")
