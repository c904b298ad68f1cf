"""Memory and duration of `models collect` by the amount of stored jobs.

    python -m benchmarks.queue.collect_garbage

Runs a worker's collection on a store with unreferenced models, with stored jobs of a given size (half payload, half
report). Memory is the peak of Python's allocations during the collection.
"""

from __future__ import annotations

import tempfile
import time
import tracemalloc
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from ledger.contracts.jobs import CollectGarbage
from ledger.ledger import Ledger, LedgerSettings
from ledger.server.embedded_server import EmbeddedServer
from workers.handlers.collect_garbage import collect_garbage
from workers.models.model_store import Store

MODELS = 20
SIZES = ((2_000, 20_000), (8_000, 20_000), (8_000, 40_000), (20_000, 20_000))
FILLED_AT_ONCE = 500


def main() -> None:
    """Measure and print a line for each amount of jobs."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer(Path(folder, "server")) as server:
        for jobs, job_bytes in SIZES:
            settings = LedgerSettings(redis_url=server.url, namespace=f"{jobs}-{job_bytes}")
            with closing(Ledger.connect(settings)) as ledger:
                _fill(ledger, jobs, job_bytes)
                seconds, held_mb, removed = _collect(ledger, Path(folder, settings.namespace))
                ledger.server.client.flushdb()
            print(f"{jobs:,} jobs of {job_bytes // 1000} kB: {removed} models, {seconds:.1f} s, {held_mb:.1f} MB held")


def _fill(ledger: Ledger, jobs: int, job_bytes: int) -> None:
    texts = {"payload": b"x" * (job_bytes // 2), "report": b"y" * (job_bytes // 2)}
    for first in range(0, jobs, FILLED_AT_ONCE):
        with ledger.server.client.pipeline(transaction=False) as pipeline:
            for number in range(first, min(first + FILLED_AT_ONCE, jobs)):
                record = {"kind": "predict_card", "state": "succeeded", **texts}
                pipeline.hset(ledger.server.key("job", str(number)), mapping=record)
            pipeline.execute()


def _collect(ledger: Ledger, folder: Path) -> tuple[float, float, int]:
    store = Store(folder, ledger=ledger.references.ledger_id())
    for seed in range(MODELS):
        ledger.models.register(store.write({"numbers": np.arange(3)}, {"seed": seed}).digest, {})
    context: Any = SimpleNamespace(
        store=store, ledger=ledger, claim=SimpleNamespace(job_id="job"), progress=lambda *_: None
    )
    tracemalloc.start()
    started_seconds = time.perf_counter()
    report = collect_garbage(CollectGarbage(keep_days=0), context)
    seconds = time.perf_counter() - started_seconds
    held_mb = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    return seconds, held_mb, len(report.models)


if __name__ == "__main__":
    main()
