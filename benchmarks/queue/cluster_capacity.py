"""Capacity of a cluster for 10,000 cards a second over 8 ledgers with an archive, computed from measured costs.

    python -m benchmarks.queue.cluster_capacity [--json]

One ledger is on each node. Its costs are those of `benchmarks.queue.capacity`, measured in this run, and the cost of
archiving a card. A node also sends what it appends to its replica. The machine of a node is an assumption (`Machine`).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.queue import competitors
from benchmarks.queue.capacity import MEGABYTE, Machine, measure
from benchmarks.queue.cards import card, report
from ledger.ledger import Ledger, LedgerSettings
from ledger.server.embedded_server import EmbeddedServer

COMMAND = "python -m benchmarks.queue.cluster_capacity"
CARDS_A_SECOND, NODES = 10_000.0, 8
POOLS, CHILDREN_A_POOL, TICKS_A_SECOND = 500, 4, 4.0
CALLERS, POLLERS = 10_000, 10_000
RETENTION_SECONDS, TOMBSTONE_SECONDS = 4_500.0, 3_600.0
CARDS = 480


@dataclass(frozen=True)
class Load:
    """The costs of a card, a poll and a tick at the server, as `benchmarks.queue.capacity` measures them."""

    server_us: float
    record_bytes: float
    tombstone_bytes: float
    received_bytes: float
    sent_bytes: float
    appended_bytes: float
    poll_us: float
    guard_us: float


@dataclass(frozen=True)
class ArchiveCosts:
    """Measured costs of archiving a card: processor time of the server, and of the worker that archives."""

    server_us: float
    worker_us: float


@dataclass(frozen=True)
class Need:
    """What a node needs of a resource under the load, and what there is."""

    name: str
    unit: str
    needed: float
    available: float

    @property
    def share(self) -> float:
        """Return the used share."""
        return self.needed / self.available


def needs(costs: Load, archive: ArchiveCosts, machine: Machine) -> list[Need]:
    """Return what each node needs, the scarcest first."""
    rate = CARDS_A_SECOND / NODES
    pools, callers, pollers = POOLS / NODES, CALLERS / NODES, POLLERS / NODES
    kept = costs.record_bytes * RETENTION_SECONDS + costs.tombstone_bytes * (RETENTION_SECONDS + TOMBSTONE_SECONDS)
    standing_us = pollers * costs.poll_us + pools * TICKS_A_SECOND * costs.guard_us
    archived_bytes = costs.record_bytes  # each record is read once more
    found = (
        Need("memory", "GB", rate * kept / MEGABYTE / 1024, machine.memory_mb / 1024),
        Need(
            "processor of the server",
            "s/s",
            (rate * (costs.server_us + archive.server_us) + standing_us) / 1e6,
            machine.processor_seconds,
        ),
        Need("connections", "", pools * (2 * CHILDREN_A_POOL + 4) + pollers + 2 * callers, machine.connections),
        Need("append-only file", "MB/s", rate * costs.appended_bytes / MEGABYTE, machine.disk_mb),
        Need(
            "network out",
            "MB/s",
            rate * (costs.sent_bytes + costs.appended_bytes + archived_bytes) / MEGABYTE,
            machine.network_mb,
        ),
        Need("network in", "MB/s", rate * costs.received_bytes / MEGABYTE, machine.network_mb),
    )
    return sorted(found, key=lambda need: -need.share)


def measure_archive() -> ArchiveCosts:
    """Measure archiving of cards at the end of their retention."""
    from workers.handlers.archive_outcomes.archive_writer import ArchiveWriter
    from workers.handlers.archive_outcomes.due_outcomes import DueOutcomes

    with TemporaryDirectory() as name, EmbeddedServer(Path(name, "server")) as embedded:
        settings = LedgerSettings(redis_url=embedded.url, retention_seconds=60.0, tombstone_seconds=600.0)
        with closing(Ledger.connect(settings)) as ledger, closing(competitors.connection(embedded.url)) as server:
            asked = {ledger.submit(each).job_id: each for each in (card(f"card {number}") for number in range(CARDS))}
            while claims := ledger.claim("predict", "node#0/1", 16):
                ledger.settle_many([(claim, report(asked[claim.job_id])) for claim in claims])
            time.sleep(50.0)  # until the last fifth of the retention, in which every outcome moves
            before, started = _server_us(server), time.process_time()
            writer = ArchiveWriter(ledger, str(Path(name, "archive")))
            writer.finish()
            archived = sum(writer.add(batch) for batch in DueOutcomes(ledger, 0.0).batches())
            writer.end(complete=True)
            if archived != CARDS:
                raise ValueError(f"{archived} of {CARDS} cards were archived")
            worker_us = (time.process_time() - started) * 1e6
            return ArchiveCosts((_server_us(server) - before) / CARDS, worker_us / CARDS)


def _server_us(server: Any) -> float:
    facts = server.info("cpu")
    return float((facts["used_cpu_user"] + facts["used_cpu_sys"]) * 1e6)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    measured = asdict(measure())
    costs, archive = Load(**{each.name: measured[each.name] for each in fields(Load)}), measure_archive()
    found = needs(costs, archive, Machine())
    if given.json:
        tables = [asdict(need) for need in found]
        print(json.dumps({"costs": asdict(costs), "archive": asdict(archive), "needs": tables}, indent=1))
        return
    for name, value in {**asdict(costs), **{f"archive {key}": each for key, each in asdict(archive).items()}}.items():
        print(f"{name:18} {value:,.1f}")
    print("\n| a node needs | of | |\n|---|---|---|")
    for need in found:
        print(f"| {need.name}: {need.needed:,.3g} {need.unit} | {need.available:,.4g} {need.unit} | {need.share:.0%} |")


if __name__ == "__main__":
    main()
