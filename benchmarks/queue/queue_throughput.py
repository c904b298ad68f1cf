"""Rate at which two children process a backlog, compared with plain Celery with one message a job.

    python -m benchmarks.queue.queue_throughput [--json]

The jobs do nothing, so that only the queue is measured. The workers are paused while the backlog is submitted; the
clock runs from their release until every job has its outcome. Both ways return the same answers on the same server,
alternately, and store their results (`naive_celery.py`, `noop_pool.py`).
"""

from __future__ import annotations

import argparse
import json
import secrets
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.queue.competitors import connection, wait_until
from benchmarks.queue.environment import QueueEnvironment, queue_environment
from benchmarks.results import Row, document, table
from ledger.contracts.jobs import CheckHealth
from ledger.ledger import Ledger
from ledger.server import lua_scripts

COMMAND = "python -m benchmarks.queue.queue_throughput"
AT_ONCE = 1_000  # jobs a call of `submit_many`
LENGTHS = (10, 100, 1_000, 10_000, 100_000)
CHILDREN = (1, 2, 3, 4)


@dataclass(frozen=True)
class Backlog:
    """A processed backlog. Processor times are per job; `server_mb` is the server memory of the whole backlog."""

    jobs: int
    children: int
    jobs_per_second: float
    worker_cpu_us: float
    server_cpu_us: float
    server_mb: float


def measure(*, repeats: int = 5, jobs: int = 10_000, naive_jobs: int = 1_000) -> list[Row]:
    """Measure both ways alternately, after a warm-up turn."""
    naive, ours, naive_cpu, our_cpu = [], [], [], []
    with queue_environment() as environment:
        for turn in range(repeats + 1):
            rate, cpu_us = celery_backlog(environment, naive_jobs)
            found = our_backlog(environment, jobs, children=2)
            if turn:
                naive.append(rate)
                naive_cpu.append(cpu_us)
                ours.append(found.jobs_per_second)
                our_cpu.append(found.worker_cpu_us)
        whole, reached = script_times(environment.ledger, repeats=repeats)
    return [
        Row("no-op jobs answered, backlog, 2 children", "jobs/s", tuple(naive), tuple(ours), 15.0, True, COMMAND),
        Row("processor time of the workers", "us/job", tuple(naive_cpu), tuple(our_cpu), None, False, COMMAND),
        Row("server, a script with the whole prelude against `probe`", "us/call", whole, reached, None, False, COMMAND),
    ]


def script_times(ledger: Ledger, *, repeats: int, calls: int = 2_000) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the server's time of a call of `probe` with all functions of the prelude, and with those it reaches.

    Both alternate; microseconds, as the server counts them.
    """
    text = (Path(lua_scripts.__file__).parents[1] / "lua" / "probe.lua").read_text()
    prelude = (Path(lua_scripts.__file__).parents[1] / "lua" / f"{lua_scripts.PRELUDE}.lua").read_text()
    client = ledger.server.client
    loaded = [client.script_load(script) for script in (f"{prelude}\n{text}", lua_scripts.script_texts()["probe"])]
    _, _, count, *arguments = ledger.server.script_call("probe")
    found: list[list[float]] = [[], []]
    for _ in range(repeats):
        for sha, times in zip(loaded, found, strict=True):
            client.config_resetstat()
            for _ in range(calls):
                client.evalsha(sha, count, *arguments)
            used = client.info("commandstats")["cmdstat_evalsha"]
            times.append(float(used["usec"]) / used["calls"])
    return tuple(found[0]), tuple(found[1])


def throughput_by_length(lengths: Sequence[int] = LENGTHS) -> list[Backlog]:
    """Return the throughput of two children for backlogs of these lengths."""
    with queue_environment() as environment:
        our_backlog(environment, 1_000, children=2)
        return [our_backlog(environment, length, children=2) for length in lengths]


def throughput_by_children(children: Sequence[int] = CHILDREN, jobs: int = 10_000) -> list[Backlog]:
    """Return the throughput for each number of children."""
    found = []
    for count in children:
        with queue_environment(children=count) as environment:
            our_backlog(environment, 1_000, children=count)
            found.append(our_backlog(environment, jobs, children=count))
    return found


def our_backlog(environment: QueueEnvironment, jobs: int, *, children: int) -> Backlog:
    """Submit new jobs to our pool and measure their processing."""
    batch = secrets.token_hex(4)
    before_mb = environment.server_mb()
    with environment.ours.paused():
        submit(environment.ledger, jobs, batch)
        server_mb = environment.server_mb() - before_mb
        answered = (
            int(environment.server.xinfo_stream("cornerman:outcomes")["entries-added"]) if _begun(environment) else 0
        )
        worker_cpu, server_cpu, start = environment.ours.cpu_seconds(), environment.cpu_seconds(), time.perf_counter()
    wait_until(lambda: _begun(environment) and _answered(environment) - answered >= jobs, "our backlog")
    seconds = time.perf_counter() - start
    worker_cpu, server_cpu = environment.ours.cpu_seconds() - worker_cpu, environment.cpu_seconds() - server_cpu
    return Backlog(jobs, children, jobs / seconds, worker_cpu / jobs * 1e6, server_cpu / jobs * 1e6, server_mb)


def submit(ledger: Ledger, jobs: int, batch: str) -> None:
    """Submit new no-op jobs."""
    for first in range(0, jobs, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, jobs))
        ledger.submit_many([CheckHealth(nonce=f"{batch}-{number}") for number in numbers])


def celery_backlog(environment: QueueEnvironment, jobs: int) -> tuple[float, float]:
    """Return the throughput of plain Celery in jobs a second, and its workers' microseconds a job."""
    with closing(connection(environment.url, 1)) as results:
        results.flushdb()
        with environment.celery.paused():
            for number in range(jobs):
                environment.tasks["check_health"].delay("champion", str(number)).forget()
            worker_cpu, start = environment.celery.cpu_seconds(), time.perf_counter()
        wait_until(lambda: len(results.keys("celery-task-meta-*")) >= jobs, "the backlog of plain Celery")
        seconds = time.perf_counter() - start
        worker_cpu = environment.celery.cpu_seconds() - worker_cpu
    return jobs / seconds, worker_cpu / jobs * 1e6


def _begun(environment: QueueEnvironment) -> bool:
    return bool(environment.server.exists("cornerman:outcomes"))


def _answered(environment: QueueEnvironment) -> int:
    return int(environment.server.xinfo_stream("cornerman:outcomes")["entries-added"])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--scaling", action="store_true", help="measure over lengths and numbers of children")
    given = parser.parse_args(arguments)
    if given.scaling:
        for backlog in (*throughput_by_length(), *throughput_by_children()):
            print(json.dumps(asdict(backlog)))
        return
    rows = measure(repeats=given.repeats)
    print(json.dumps(document(rows), indent=1) if given.json else table(rows))


if __name__ == "__main__":
    main()
