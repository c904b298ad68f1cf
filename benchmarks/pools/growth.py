"""How the cost of a pool grows with its children, from 1 to 16, and that of a child with the models it has open, to 50.

    python -m benchmarks.pools.growth [--json]

Children: a real pool with a model of 20 MB, at rest and then with twice 400 cards of one fight. Memory is the
proportional set size of the pool before and after; times are processor time. Models: bundles of 20 MB with equal arrays
and different digests, opened one after the other in one process, as in a child whose `CORNERMAN_MODEL_CACHE_SIZE` is as
large. It takes minutes, so `make bench` does not run it.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from benchmarks.memory.large_model import LargeModel, large_model
from benchmarks.queue.competitors import REAL_POOL, WorkerProcesses, our_pool
from engine.model.bundle import write_bundle
from ledger.contracts.jobs import PredictCard
from ledger.ledger import Ledger, LedgerSettings
from ledger.server.embedded_server import EmbeddedServer
from workers.models.model_cache import load_manager
from workers.pool.process_memory import anon_rss_mb, pss_mb

COMMAND = "python -m benchmarks.pools.growth"
CHILDREN = (1, 2, 4, 8, 16)
MODELS = (1, 2, 5, 10, 20, 50)
MODEL_MB = 20.0
REST_SECONDS = 10.0
CARDS = 400
TIMEOUT_SECONDS = 300.0


@dataclass(frozen=True)
class Children:
    """A pool with a number of children: at rest, and for each of the first and of the next `CARDS` cards."""

    children: int
    start_cpu_seconds: float
    rest_mb: float
    rest_percent: float
    first_cpu_ms: float
    next_cpu_ms: float
    busy_mb: float


@dataclass(frozen=True)
class OpenModels:
    """A process with a number of open models: the last one's cost to open, all of their memory, and a prediction."""

    models: int
    open_cpu_ms: float
    own_mb: float
    pss_mb: float
    predict_ms: float


def by_children(server_url: str, folder: Path, model: LargeModel) -> list[Children]:
    """Measure pools of each size, one after the other."""
    found = []
    with closing(Ledger.connect(LedgerSettings(redis_url=server_url))) as ledger:
        ledger.models.register(model.bundle.digest, {})
        ledger.aliases.set("champion", model.bundle.digest)
        for children in CHILDREN:
            with our_pool(ledger.settings, folder, children=children, program=REAL_POOL) as workers:
                found.append(_pool(ledger, workers, model.cards, children))
    return found


def _pool(ledger: Ledger, workers: WorkerProcesses, cards: Sequence[PredictCard], children: int) -> Children:
    start_cpu = workers.cpu_seconds()
    time.sleep(REST_SECONDS)  # until what follows the start is done
    before, started = workers.cpu_seconds(), time.perf_counter()
    time.sleep(REST_SECONDS)
    rest_percent = 100 * (workers.cpu_seconds() - before) / (time.perf_counter() - started)
    rest_mb = workers.memory_mb()
    first, later = (_answer(ledger, workers, cards, f"{children}-{turn}") for turn in range(2))
    return Children(children, start_cpu, rest_mb, rest_percent, first, later, workers.memory_mb())


def _answer(ledger: Ledger, workers: WorkerProcesses, cards: Sequence[PredictCard], name: str) -> float:
    """Return the milliseconds of processor time for each of `CARDS` cards."""
    before = workers.cpu_seconds()
    with workers.paused():
        receipts = ledger.submit_many([_card(cards, number, f"{name}-{number}") for number in range(CARDS)])
    for receipt in receipts:
        if ledger.wait(receipt.job_id, TIMEOUT_SECONDS).report is None:
            raise RuntimeError("a card was not answered")
    return 1e3 * (workers.cpu_seconds() - before) / CARDS


def _card(cards: Sequence[PredictCard], number: int, name: str) -> PredictCard:
    card = cards[number % len(cards)]
    return msgspec.structs.replace(card, card_id=name, fights=card.fights[:1])


def by_models(folder: Path, model: LargeModel) -> list[OpenModels]:
    """Open models one after the other in this process."""
    arrays = {name: model.bundle.array(name) for name in model.bundle.array_names}
    bundles = [
        write_bundle(folder / "copies", arrays, {**model.bundle.manifest, "copy": number}).folder
        for number in range(max(MODELS))
    ]
    found, opened = [], []
    load = partial(load_manager, max_memory_mb=math.inf)
    load(bundles[0]).check_reference_predictions()  # compile, and import what is imported late
    before_mb, before_pss_mb = anon_rss_mb(), pss_mb(os.getpid())
    for bundle in bundles:
        started = time.process_time()
        opened.append(load(bundle))
        open_ms = 1e3 * (time.process_time() - started)
        opened[-1].check_reference_predictions()
        if len(opened) in MODELS:
            own_mb, whole_mb = anon_rss_mb() - before_mb, pss_mb(os.getpid()) - before_pss_mb
            started = time.process_time()
            for manager in opened:
                manager.check_reference_predictions()
            predict_ms = 1e3 * (time.process_time() - started) / len(opened)
            found.append(OpenModels(len(opened), open_ms, own_mb, whole_mb, predict_ms))
    return found


def table(children: Sequence[Children], models: Sequence[OpenModels]) -> str:
    """Return both tables as Markdown."""
    lines = ["| children | start, s CPU | rest, MB | rest, % of a core | first cards, ms CPU | next | after, MB |"]
    lines.append("|---|---|---|---|---|---|---|")
    lines += [
        f"| {pool.children} | {pool.start_cpu_seconds:.1f} | {pool.rest_mb:.0f} | {pool.rest_percent:.1f} "
        f"| {pool.first_cpu_ms:.1f} | {pool.next_cpu_ms:.1f} | {pool.busy_mb:.0f} |"
        for pool in children
    ]
    lines += ["", "| open models | the last to open, ms CPU | own memory, MB | PSS, MB | a prediction, ms CPU |"]
    lines.append("|---|---|---|---|---|")
    lines += [
        f"| {one.models} | {one.open_cpu_ms:.0f} | {one.own_mb:.0f} | {one.pss_mb:.0f} | {one.predict_ms:.1f} |"
        for one in models
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    with TemporaryDirectory() as name, EmbeddedServer(Path(name, "server")) as server:
        folder = Path(name)
        model = large_model(folder / "models", MODEL_MB)
        models = by_models(folder, model)
        children = by_children(server.url, folder, model)
    if options.json:
        print(json.dumps({"children": [asdict(pool) for pool in children], "models": [asdict(one) for one in models]}))
    else:
        print(table(children, models))


if __name__ == "__main__":
    main()
