"""Memory and start-up time of a pool whose children share one model of 200 MB.

    python -m benchmarks.memory.pool [--json]

Memory is the proportional set size (PSS) of the main process and its children together, which counts shared pages once.
It is measured after the children have predicted cards with all replicas, so that every page of the model was read. The
naive pool loads the same arrays from a joblib file in each child (`naive_model.py`).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import joblib
import msgspec
import numpy as np

from benchmarks.memory import naive_model
from benchmarks.memory.large_model import LargeModel, large_model
from benchmarks.queue import competitors
from benchmarks.queue.competitors import REAL_POOL, WorkerProcesses, wait_until
from benchmarks.results import Row, run_command
from ledger.ledger import Ledger, LedgerSettings
from ledger.server.embedded_server import EmbeddedServer

COMMAND = "python -m benchmarks.memory.pool"
MODEL_MB = 200.0
CHILDREN = 4
CARDS_A_CHILD = 8
TIMEOUT_SECONDS = 120.0


@dataclass(frozen=True)
class PoolMemory:
    """Memory of a working pool, and the seconds from its start until all children were ready."""

    memory_mb: float
    start_seconds: float


def measure(*, repeats: int = 3, model_mb: float = MODEL_MB) -> list[Row]:
    """Measure pools of one and of four children, and the naive pool of four, alternately."""
    ones, fours, naives = [], [], []
    with TemporaryDirectory() as name, EmbeddedServer(Path(name, "server")) as server:
        folder = Path(name)
        model = large_model(folder / "models", model_mb)
        settings = LedgerSettings(redis_url=server.url)
        with closing(Ledger.connect(settings)) as ledger:
            ledger.models.register(model.bundle.digest, {})
            ledger.aliases.set("champion", model.bundle.digest)
            joblib_file = folder / "model.joblib"
            joblib.dump({item: np.array(model.bundle.array(item)) for item in model.bundle.array_names}, joblib_file)
            for turn in range(repeats):
                ones.append(_ours(ledger, folder, model, 1, f"{turn}-1"))
                fours.append(_ours(ledger, folder, model, CHILDREN, f"{turn}-{CHILDREN}"))
                naives.append(_naive(server.url, folder, joblib_file))
    size = f"model of {model.bundle.size_bytes / 2**20:.0f} MB"
    return [
        Row(f"pool of 4 children against a pool of 1, {size}", "MB", *_memory(ones, fours), 1 / 1.3, False, COMMAND),
        Row(f"pool of 4 children against plain Celery's, {size}", "MB", *_memory(naives, fours), None, False, COMMAND),
        Row("start of a pool until 4 children are ready", "s", *_starts(naives, fours), None, False, COMMAND),
    ]


def _memory(naive: list[PoolMemory], ours: list[PoolMemory]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return tuple(found.memory_mb for found in naive), tuple(found.memory_mb for found in ours)


def _starts(naive: list[PoolMemory], ours: list[PoolMemory]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return tuple(found.start_seconds for found in naive), tuple(found.start_seconds for found in ours)


def _ours(ledger: Ledger, folder: Path, model: LargeModel, children: int, turn: str) -> PoolMemory:
    start = time.perf_counter()
    with competitors.our_pool(ledger.settings, folder, children=children, program=REAL_POOL) as workers:
        seconds = time.perf_counter() - start
        with workers.paused():
            cards = [
                msgspec.structs.replace(card, card_id=f"{turn}-{number}")
                for number, card in enumerate(model.cards * (CARDS_A_CHILD * children // len(model.cards) + 1))
            ]
            receipts = ledger.submit_many(cards)
        for receipt in receipts:
            outcome = ledger.wait(receipt.job_id, TIMEOUT_SECONDS)
            if outcome.report is None:
                raise RuntimeError(f"a card was not answered: {outcome.failure}")
        return PoolMemory(workers.memory_mb(), seconds)


@contextmanager
def _naive_pool(redis_url: str, folder: Path, model: Path) -> Iterator[WorkerProcesses]:
    url = competitors.database(redis_url, 1)
    variables = {naive_model.URL_VARIABLE: url, naive_model.MODEL_VARIABLE: str(model)}
    options = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    command = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "benchmarks.memory.naive_model",
        "worker",
        "-c",
        str(CHILDREN),
        *options,
    ]
    with competitors.run_workers(command, folder / "naive.log", variables) as workers:
        yield workers


def _naive(redis_url: str, folder: Path, model: Path) -> PoolMemory:
    start = time.perf_counter()
    touch = naive_model.create_app(competitors.database(redis_url, 1)).tasks["touch"]
    with _naive_pool(redis_url, folder, model) as workers:
        # Celery does not report when its children are ready; a child is ready after its first answer.
        touch.delay().get(timeout=TIMEOUT_SECONDS)
        wait_until(lambda: len(workers.processes()) > CHILDREN, "the naive pool")
        seconds = time.perf_counter() - start
        for result in [touch.delay() for _ in range(CARDS_A_CHILD * CHILDREN)]:
            result.get(timeout=TIMEOUT_SECONDS)
        return PoolMemory(workers.memory_mb(), seconds)


if __name__ == "__main__":
    run_command(measure, __doc__ or "")
