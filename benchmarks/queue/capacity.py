"""Capacity of one server for 1,000 cards a second over 50 pools, computed from costs measured in this run.

    python -m benchmarks.queue.capacity [--json]

Measures, on the embedded server, the cost of a card of 12 fights with a report of full size (processor time, memory,
network and append-only file of the server, from submit until the caller has read the report), and the cost of a poller
and of a pool's supervisor: with payloads and reports stored as JSON, and compressed, as a new ledger stores them. The
capacity is computed for the latter. The machine is an assumption (`Machine`). The handlers' work is excluded: it scales
with the number of pools.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.queue import competitors
from benchmarks.queue.cards import START
from ledger.compression.sample_cards import SampleCards
from ledger.contracts.jobs import CheckHealth, PredictCard
from ledger.contracts.provenance import Provenance
from ledger.contracts.reports import CardReport, HealthCheck, HealthReport
from ledger.jobs.claims import Settlement
from ledger.ledger import Claim, Ledger, LedgerSettings
from ledger.server.embedded_server import EmbeddedServer

COMMAND = "python -m benchmarks.queue.capacity"
CARDS_A_SECOND = 1_000.0
POOLS, CHILDREN_A_POOL = 50, 4
SUPERVISOR_TICKS_A_SECOND = 4.0
POLLERS, POLLS_A_SECOND = 1_000, 1.0  # callers that poll the state of a job instead of waiting
CALLERS = 1_000  # callers that wait for a report, each with one connection for commands and one for notifications
CLAIMED_AT_ONCE = 16
CARDS = 480
SMALL_JOBS = 7 * 2 * CARDS  # the table of keys doubles three times, so that it counts as what it takes on average
FIGHTS, BOOKMAKERS = 12, ("Bookmaker A", "Second Bets", "threebet", "FOUR.ag")
_SMALL = HealthReport(
    status="healthy", checks=(HealthCheck(name="no-op", passed=True, detail=""),), model="champion", memory_mb=1.0
)
MEGABYTE = 2**20


@dataclass(frozen=True)
class Machine:
    """The assumed machine of the server; each figure is the usable part."""

    memory_mb: float = 64 * 1024 * 0.8  # CORNERMAN_MAX_MEMORY_FRACTION
    processor_seconds: float = 1.0  # per second: commands run in one thread
    network_mb: float = 1_150.0  # per second in each direction: 10 Gbit/s
    disk_mb: float = 500.0  # per second, appended
    connections: float = 10_000.0  # maxclients, by default


@dataclass(frozen=True)
class Costs:
    """Measured costs: processor times, and sizes of one card from submit to report.

    Processor times are those of the server, of a caller that submits a card, of a worker that claims and settles it
    (without the handler), and of a caller that waits and reads the report. `small_bytes` is the memory of a health
    check with its outcome.
    """

    server_us: float
    submit_us: float
    work_us: float
    read_us: float
    record_bytes: float
    small_bytes: float
    tombstone_bytes: float
    received_bytes: float
    sent_bytes: float
    appended_bytes: float
    poll_us: float
    guard_us: float


@dataclass(frozen=True)
class Resource:
    """One limited resource: its use under the load, its capacity, and the rate of cards that exhausts it."""

    name: str
    unit: str
    taken: float
    there_is: float
    cards_a_second: float


def resources(costs: Costs, machine: Machine, retention_seconds: float, tombstone_seconds: float) -> list[Resource]:
    """Return the resources, the scarcest first; use that does not grow with the cards is deducted from the capacity."""
    standing = (POLLERS * POLLS_A_SECOND * costs.poll_us + POOLS * SUPERVISOR_TICKS_A_SECOND * costs.guard_us) / 1e6
    kept = costs.record_bytes * retention_seconds + costs.tombstone_bytes * (retention_seconds + tombstone_seconds)
    connections = POOLS * (2 * CHILDREN_A_POOL + 4) + POLLERS + 2 * CALLERS
    a_card = (
        ("memory", "MB", kept / MEGABYTE, 0.0, machine.memory_mb),
        ("processor of the server", "s/s", costs.server_us / 1e6, standing, machine.processor_seconds),
        ("network in", "MB/s", costs.received_bytes / MEGABYTE, 0.0, machine.network_mb),
        ("network out", "MB/s", costs.sent_bytes / MEGABYTE, 0.0, machine.network_mb),
        ("append-only file", "MB/s", costs.appended_bytes / MEGABYTE, 0.0, machine.disk_mb),
        ("connections", "", 2 * CALLERS / CARDS_A_SECOND, connections - 2 * CALLERS, machine.connections),
    )
    found = [
        Resource(name, unit, CARDS_A_SECOND * each + fixed, there_is, max(0.0, there_is - fixed) / each)
        for name, unit, each, fixed, there_is in a_card
    ]
    return sorted(found, key=lambda resource: resource.cards_a_second)


def retention_that_fits(costs: Costs, machine: Machine) -> float:
    """Return the retention in seconds that fits into memory at the wanted rate, with tombstones of equal duration."""
    return machine.memory_mb * MEGABYTE / CARDS_A_SECOND / (costs.record_bytes + 2 * costs.tombstone_bytes)


def measure(*, compressed: bool = True) -> Costs:
    """Measure the costs, after a warm-up round."""
    source = SampleCards(seed=2, bookmakers=BOOKMAKERS)
    with TemporaryDirectory() as name, EmbeddedServer(Path(name)) as embedded:
        settings = LedgerSettings(redis_url=embedded.url)
        with closing(Ledger.connect(settings)) as ledger, closing(competitors.connection(embedded.url)) as server:
            ledger.stored_format.set_compression(compressed, user="benchmark", reason="a comparison")
            _carry(ledger, source, [_card(source, f"warm {number}") for number in range(CARDS)])
            kept, before = _kept_memory(server), _meters(server)
            clients = _carry(ledger, source, [_card(source, f"card {number}") for number in range(CARDS)])
            used = {meter: (after - before[meter]) / CARDS for meter, after in _meters(server).items()}
            tombstone_bytes = _tombstone_bytes(server)
            with_cards = _kept_memory(server)
            _carry_small(ledger)
            small_bytes = (_kept_memory(server) - with_cards) / SMALL_JOBS - tombstone_bytes
            job_id = ledger.submit(_card(source, "polled")).job_id
            return Costs(
                server_us=used["cpu_us"],
                submit_us=clients[0],
                work_us=clients[1],
                read_us=clients[2],
                record_bytes=(with_cards - kept) / CARDS - tombstone_bytes,
                small_bytes=small_bytes,
                tombstone_bytes=tombstone_bytes,
                received_bytes=used["received"],
                sent_bytes=used["sent"],
                appended_bytes=used["appended"],
                poll_us=_cpu_us(server, lambda: ledger.status(job_id)),
                guard_us=_cpu_us(server, lambda: (ledger.running_jobs("node#0/"), ledger.reap())),
            )


def _card(source: SampleCards, name: str) -> PredictCard:
    return source.card(FIGHTS, len(BOOKMAKERS), name=name, start=START)


def _carry(ledger: Ledger, source: SampleCards, cards: Sequence[PredictCard]) -> tuple[float, float, float]:
    """Process cards from submit to report: submit one by one, claim in batches, and wait for each.

    Return the clients' processor time for a card in microseconds: submitting, claiming and settling, reading.
    """
    answers = {}
    clock = [time.process_time()]
    job_ids = [ledger.submit(asked).job_id for asked in cards]
    clock.append(time.process_time())
    for job_id, asked in zip(job_ids, cards, strict=True):
        answer = source.report(asked)
        answers[job_id] = answer, source.provenance(answer)
    drawn = time.process_time()
    while claims := ledger.claim("predict", "node#0/1", CLAIMED_AT_ONCE):
        ledger.renew([(claim.job_id, claim.fence) for claim in claims])
        ledger.settle_batch([_settlement(claim, answers) for claim in claims])
    clock.append(clock[-1] + time.process_time() - drawn)
    started = time.process_time()
    for job_id in answers:
        ledger.wait(job_id, 1.0)
    clock.append(clock[-1] + time.process_time() - started)
    submit, work, read = ((after - before) * 1e6 / len(cards) for before, after in pairwise(clock))
    return submit, work, read


def _settlement(claim: Claim, answers: Mapping[str, tuple[CardReport, Provenance]]) -> Settlement:
    report, origin = answers[claim.job_id]
    return Settlement.from_result(claim, report, origin=origin)


def _carry_small(ledger: Ledger) -> None:
    for number in range(SMALL_JOBS):
        ledger.submit(CheckHealth(nonce=str(number)))
    while claims := ledger.claim("predict", "node#0/1", CLAIMED_AT_ONCE):
        ledger.settle_many([(claim, _SMALL) for claim in claims])


def _meters(server: Any) -> dict[str, float]:
    facts = server.info("everything")
    return {
        "cpu_us": (facts["used_cpu_user"] + facts["used_cpu_sys"]) * 1e6,
        "received": float(facts["total_net_input_bytes"]),
        "sent": float(facts["total_net_output_bytes"]),
        "appended": float(facts["aof_current_size"]),
    }


def _kept_memory(server: Any) -> float:
    """Return the memory without the replies for callers that repeat a call, which go by themselves after a minute."""
    for name in list(server.scan_iter("cornerman:reply:*", count=CARDS)):
        server.delete(name)
    while server.info("memory").get("mem_overhead_db_hashtable_rehashing", 0):
        time.sleep(0.05)  # a table of keys that grows is there twice for a while
    return float(server.info("memory")["used_memory"])


def _tombstone_bytes(server: Any) -> float:
    names = list(server.scan_iter("cornerman:forgotten:*", count=CARDS))
    return float(sum(server.memory_usage(name) for name in names) / len(names))


def _cpu_us(server: Any, act: Callable[[], object], times: int = 500) -> float:
    before = _meters(server)["cpu_us"]
    for _ in range(times):
        act()
    return (_meters(server)["cpu_us"] - before) / times


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    as_json, costs = measure(compressed=False), measure()
    machine, usual = Machine(), LedgerSettings()
    short_seconds = retention_that_fits(costs, machine)
    plans = {
        "as set by default": (usual.retention_seconds, usual.tombstone_seconds),
        "with the retention that fits": (short_seconds, short_seconds),
    }
    found = {name: resources(costs, machine, *kept) for name, kept in plans.items()}
    if given.json:
        tables = {name: [asdict(resource) for resource in table] for name, table in found.items()}
        both = {"costs": asdict(costs), "costs_as_json": asdict(as_json)}
        print(json.dumps({**both, "retention_seconds": short_seconds, "resources": tables}, indent=1))
        return
    print(f"{'':16} {'as JSON':>10} {'compressed':>10}")
    for name, value in asdict(costs).items():
        print(f"{name:16} {_figure(asdict(as_json)[name]):>10} {_figure(value):>10}")
    for name, table in found.items():
        seconds = plans[name][0]
        print(f"\n{CARDS_A_SECOND:,.0f} cards a second, {name}: outcomes for {seconds:,.0f} s\n")
        print("| resource | taken | there is | gone at, cards/s |\n|---|---|---|---|")
        for entry in table:
            taken, there_is = _figure(entry.taken), _figure(entry.there_is)
            print(
                f"| {entry.name} | {taken} {entry.unit} | {there_is} {entry.unit} | {_figure(entry.cards_a_second)} |"
            )


if __name__ == "__main__":
    main()
