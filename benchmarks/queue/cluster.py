"""Throughput of four ledgers in a cluster of four nodes, compared with four servers of their own on the same cores.

    python -m benchmarks.queue.cluster [--json]

Each ledger has two pools of one child, so eight pools work at a time, and the jobs do nothing: only servers and pools
are measured. The pools are paused while a backlog is submitted; the clock runs from their release until every job of
every ledger has its outcome. The two ways take turns, and all servers have the same settings but for cluster mode.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.queue.competitors import WorkerProcesses, our_pool, wait_until
from benchmarks.results import Row, document, table
from ledger.contracts.jobs import CheckHealth
from ledger.contracts.reports import HealthCheck, HealthReport
from ledger.ledger import Ledger, LedgerSettings
from tests.support.clusters import Cluster, running_cluster, running_servers

COMMAND = "python -m benchmarks.queue.cluster"
LEDGERS, POOLS_A_LEDGER = 4, 2
POOL = ("-m", "benchmarks.queue.cluster", "--worker")
SERVER = {"appendonly": "yes", "appendfsync": "everysec"}
AT_ONCE = 500


@dataclass(frozen=True)
class Shops:
    """Ledgers, and the pools that work for them; in turns with those of another way."""

    ledgers: Sequence[Ledger]
    pools: Sequence[WorkerProcesses]

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop all pools for the duration of a block."""
        with ExitStack() as stack:
            for pool in self.pools:
                stack.enter_context(pool.paused())
            yield

    def outcomes(self) -> int:
        """Return how many jobs of all ledgers have outcomes."""
        return sum(
            int(each.server.execute("HGET", each.server.key("counts"), "outcomes") or 0) for each in self.ledgers
        )


def measure(*, turns: int = 7, jobs: int = 1_500) -> list[Row]:
    """Measure both ways in turns, after a warm-up turn; `jobs` for each ledger."""
    alone: list[float] = []
    together: list[float] = []
    with TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        servers = stack.enter_context(running_servers(folder / "servers", LEDGERS, options=SERVER))
        cluster = stack.enter_context(
            running_cluster(folder / "cluster", primaries=LEDGERS, replicas=0, options=SERVER)
        )
        urls = [f"redis://{server.address}" for server in servers]
        single = _open(stack, folder, [LedgerSettings(redis_url=url) for url in urls])
        shared = _open(stack, folder, [LedgerSettings(redis_url=cluster.url, namespace=own) for own in _names(cluster)])
        for turn in range(turns + 1):
            ways = [(single, shared, alone), (shared, single, together)]
            for ours, others, rates in ways if turn % 2 else reversed(ways):
                rate = _backlog(ours, others, jobs)
                if turn:
                    rates.append(rate)
    return [
        Row("no-op jobs answered, 4 ledgers, 8 pools", "jobs/s", tuple(alone), tuple(together), 0.85, True, COMMAND)
    ]


def _open(stack: ExitStack, folder: Path, settings: Sequence[LedgerSettings]) -> Shops:
    """Start the pools of the ledgers side by side."""

    def start(each: LedgerSettings, number: int) -> WorkerProcesses:
        own = folder / secrets.token_hex(4)
        own.mkdir()
        return stack.enter_context(our_pool(each, own, children=1, program=POOL, node=f"node-{number}"))

    wanted = [(each, number) for each in settings for number in range(POOLS_A_LEDGER)]
    with ThreadPoolExecutor(len(wanted)) as threads:
        pools = list(threads.map(lambda pair: start(*pair), wanted))
    return Shops([stack.enter_context(_ledger(each)) for each in settings], pools)


@contextmanager
def _ledger(settings: LedgerSettings) -> Iterator[Ledger]:
    ledger = Ledger.connect(settings)
    yield ledger
    ledger.close()


def _names(cluster: Cluster) -> list[str]:
    """Return names of ledgers of which each is on a node of its own."""
    found: dict[int, str] = {}
    number = 0
    while len(found) < LEDGERS:
        name = f"shop-{number}"
        found.setdefault(cluster.owner(f"{{{name}}}").port, name)
        number += 1
    return list(found.values())


def _backlog(shops: Shops, others: Shops, jobs: int) -> float:
    """Return the jobs a second of all ledgers together."""
    batch = secrets.token_hex(4)
    with others.paused():
        with shops.paused():
            for ledger in shops.ledgers:
                for first in range(0, jobs, AT_ONCE):
                    numbers = range(first, min(first + AT_ONCE, jobs))
                    ledger.submit_many([CheckHealth(nonce=f"{batch}-{number}") for number in numbers])
            wanted = shops.outcomes() + jobs * len(shops.ledgers)
            start = time.perf_counter()
        wait_until(lambda: shops.outcomes() >= wanted, "the backlog of all ledgers")
        return jobs * len(shops.ledgers) / (time.perf_counter() - start)


def _worker() -> None:
    from workers.__main__ import main as work

    answer = HealthReport(status="healthy", checks=(HealthCheck(name="no-op", passed=True, detail=""),), memory_mb=1.0)
    sys.argv.remove("--worker")
    work(handlers={"check_health": lambda job, context: answer})


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--turns", type=int, default=15)
    given = parser.parse_args(arguments)
    [row] = rows = measure(turns=given.turns)
    print(json.dumps(document(rows), indent=1) if given.json else table(rows))
    if not given.json:
        print(f"\ncluster against single servers: {median(row.ours) / median(row.naive) - 1:+.1%}")


if __name__ == "__main__":
    _worker() if "--worker" in sys.argv else main()
